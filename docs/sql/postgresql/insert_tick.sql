-- insert_tick
-- Say that a tick has started.

INSERT INTO waitctl_ticks (host, pid, started_at, as_of, handlers)
VALUES (:host::VARCHAR, :pid::INTEGER, :started_at::TIMESTAMP WITH TIME ZONE,
    :as_of::TIMESTAMP WITH TIME ZONE, :handlers::JSONB)
RETURNING waitctl_ticks.id;
