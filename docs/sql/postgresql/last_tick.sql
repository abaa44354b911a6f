-- last_tick
-- When and where a tick was last seen to run.

SELECT coalesce(waitctl_ticks.finished_at, waitctl_ticks.started_at) AS coalesce_1,
    waitctl_ticks.host
FROM waitctl_ticks
ORDER BY coalesce(waitctl_ticks.finished_at, waitctl_ticks.started_at) DESC
LIMIT 1;
