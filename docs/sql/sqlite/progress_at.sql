-- progress_at
-- When a tick last ended a wait, among the thousand that ended last.

SELECT max(ended.resolved_at) AS max_1
FROM (
    SELECT workflow_wait_executions.resolved_at AS resolved_at,
        workflow_wait_executions.resolution AS resolution
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.resolved_at IS NOT NULL
    ORDER BY workflow_wait_executions.resolved_at DESC
    LIMIT 1000
    OFFSET :param_1
) AS ended
WHERE ended.resolution IN ('due', 'timeout');
