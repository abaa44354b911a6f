-- inline_commands
-- The commands that deliveries to inline commands are about, the longest waiting first.

SELECT workflow_wait_deliveries.id, workflow_wait_deliveries.wait_id,
    workflow_wait_executions.command
FROM workflow_wait_deliveries
JOIN workflow_wait_executions ON workflow_wait_executions.id = workflow_wait_deliveries.wait_id
WHERE workflow_wait_deliveries.handler = '--'
  AND workflow_wait_deliveries.status IN ('pending', 'running')
ORDER BY workflow_wait_deliveries.next_attempt_at
LIMIT :limit
OFFSET :param_4;
