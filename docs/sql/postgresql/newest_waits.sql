-- newest_waits
-- The newest waits, or open waits, for a shell to complete their ids and executions.

SELECT workflow_wait_executions.id, workflow_wait_executions.workflow_execution_id,
    workflow_wait_executions.step_id, workflow_wait_executions.wait_type,
    workflow_wait_executions.status
FROM workflow_wait_executions
ORDER BY workflow_wait_executions.id DESC
LIMIT 500;
