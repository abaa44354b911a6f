-- list_movable
-- Of these waits, if they are open, what says where they can go.

SELECT workflow_wait_executions.id, workflow_wait_executions.status,
    workflow_wait_executions.updated_at, workflow_wait_executions.scheduled_at,
    workflow_wait_executions.timeout_at, workflow_wait_executions.timezone,
    workflow_wait_executions.wait_config, workflow_wait_executions.late_policy
FROM workflow_wait_executions
WHERE workflow_wait_executions.id IN (
    SELECT value
    FROM json_each(:ids)
)
  AND workflow_wait_executions.status IN ('waiting', 'scheduled');
