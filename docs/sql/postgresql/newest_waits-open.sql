-- newest_waits-open
-- The newest waits, or open waits, for a shell to complete their ids and executions.

SELECT recent.id, recent.workflow_execution_id, recent.step_id, recent.wait_type, recent.status
FROM (
    SELECT workflow_wait_executions.id AS id,
        workflow_wait_executions.workflow_execution_id AS workflow_execution_id,
        workflow_wait_executions.step_id AS step_id,
        workflow_wait_executions.wait_type AS wait_type, workflow_wait_executions.status AS status
    FROM workflow_wait_executions
    ORDER BY workflow_wait_executions.id DESC
    LIMIT 10000
) AS recent
WHERE recent.status IN ('waiting', 'scheduled')
ORDER BY recent.id DESC
LIMIT 500;
