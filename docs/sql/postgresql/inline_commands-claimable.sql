-- inline_commands-claimable
-- The commands that deliveries to inline commands are about, the longest waiting first.

SELECT workflow_wait_deliveries.id, workflow_wait_deliveries.wait_id,
    workflow_wait_executions.command
FROM workflow_wait_deliveries
JOIN workflow_wait_executions ON workflow_wait_executions.id = workflow_wait_deliveries.wait_id
WHERE workflow_wait_deliveries.handler = '--'
  AND (workflow_wait_deliveries.status = 'pending'
      AND workflow_wait_deliveries.next_attempt_at <= :now::TIMESTAMP WITH TIME ZONE
      OR workflow_wait_deliveries.status = 'running'
      AND workflow_wait_deliveries.lease_expires_at <= :now::TIMESTAMP WITH TIME ZONE)
ORDER BY workflow_wait_deliveries.next_attempt_at
LIMIT :limit::INTEGER;
