-- forget_ticks
-- Forget the ticks of long ago.

DELETE FROM waitctl_ticks
WHERE waitctl_ticks.started_at < :before::TIMESTAMP WITH TIME ZONE;
