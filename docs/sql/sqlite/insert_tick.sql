-- insert_tick
-- Say that a tick has started.

INSERT INTO waitctl_ticks (host, pid, started_at, as_of, handlers)
VALUES (:host, :pid, :started_at, :as_of, :handlers)
RETURNING id;
