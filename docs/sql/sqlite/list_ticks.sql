-- list_ticks
-- The ticks that started since then, and those that were still seen, newest first.

SELECT waitctl_ticks.started_at, waitctl_ticks.finished_at, waitctl_ticks.host, waitctl_ticks.pid,
    waitctl_ticks.as_of, waitctl_ticks.report
FROM waitctl_ticks
WHERE waitctl_ticks.started_at >= :since
  OR waitctl_ticks.finished_at >= :since
ORDER BY waitctl_ticks.started_at DESC, waitctl_ticks.id DESC;
