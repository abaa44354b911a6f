-- finish_tick
-- Say that a tick has finished, and what it did.

UPDATE waitctl_ticks
SET finished_at=:at::TIMESTAMP WITH TIME ZONE, report=:said::JSONB
WHERE waitctl_ticks.id = :tick::BIGINT;
