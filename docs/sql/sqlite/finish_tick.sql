-- finish_tick
-- Say that a tick has finished, and what it did.

UPDATE waitctl_ticks
SET finished_at=:at, report=:said
WHERE waitctl_ticks.id = :tick;
