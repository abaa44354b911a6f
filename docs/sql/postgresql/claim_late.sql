-- claim_late
-- The waits with a policy that are late longest, past the locked ones. Locks them in that order.

SELECT workflow_wait_executions.id, workflow_wait_executions.scheduled_at,
    workflow_wait_executions.timezone, workflow_wait_executions.wait_config
FROM workflow_wait_executions
WHERE workflow_wait_executions.status = 'scheduled'
  AND workflow_wait_executions.late_policy IS NOT NULL
  AND workflow_wait_executions.scheduled_at < :late_before::TIMESTAMP WITH TIME ZONE
  AND (workflow_wait_executions.scheduled_at,
      workflow_wait_executions.id) > (:low_at::TIMESTAMP WITH TIME ZONE, :low_id::UUID)
ORDER BY workflow_wait_executions.scheduled_at, workflow_wait_executions.id
LIMIT :limit::INTEGER
FOR UPDATE SKIP LOCKED;
