-- last_ticks
-- When, on the real clock, a tick started last, and when one finished.

SELECT max(waitctl_ticks.started_at) AS max_1, max(waitctl_ticks.finished_at) AS max_2
FROM waitctl_ticks;
