-- last_tick
-- The tick that started last, and the one that was seen last.

SELECT anon_1.at, anon_1.host
FROM (
    SELECT waitctl_ticks.started_at AS at, waitctl_ticks.host AS host
    FROM waitctl_ticks
    WHERE waitctl_ticks.started_at IS NOT NULL
    ORDER BY waitctl_ticks.started_at DESC
    LIMIT 1
) AS anon_1
UNION ALL
SELECT anon_2.at, anon_2.host
FROM (
    SELECT waitctl_ticks.finished_at AS at, waitctl_ticks.host AS host
    FROM waitctl_ticks
    WHERE waitctl_ticks.finished_at IS NOT NULL
    ORDER BY waitctl_ticks.finished_at DESC
    LIMIT 1
) AS anon_2;
