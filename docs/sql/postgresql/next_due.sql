-- next_due
-- The waits for a time that are due first.

SELECT workflow_wait_executions.id, workflow_wait_executions.workflow_execution_id,
    workflow_wait_executions.step_id, workflow_wait_executions.scheduled_at
FROM workflow_wait_executions
WHERE workflow_wait_executions.status = 'scheduled'
ORDER BY workflow_wait_executions.scheduled_at
LIMIT :limit::INTEGER;
