-- last_finished_at
-- When, on the real clock, a tick finished last.

SELECT max(waitctl_ticks.finished_at) AS max_1
FROM waitctl_ticks;
