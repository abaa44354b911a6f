-- claim_ended
-- The waits that ended longest ago, are counted, and have no delivery in hand. Locks them, past the locked ones.

SELECT workflow_wait_executions.id, workflow_wait_executions.resolved_at,
    workflow_wait_executions.idempotency_key IS NOT NULL AS anon_1,
    workflow_wait_executions.status = 'error' AS anon_2
FROM workflow_wait_executions
WHERE workflow_wait_executions.resolved_at >= :after::TIMESTAMP WITH TIME ZONE
  AND workflow_wait_executions.resolved_at < :before::TIMESTAMP WITH TIME ZONE
  AND NOT coalesce((
    SELECT true AS anon_3
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.wait_id = workflow_wait_executions.id
      AND workflow_wait_deliveries.status IN ('pending', 'running')
    LIMIT 1
), false)
  AND NOT coalesce((
    SELECT true AS anon_3
    FROM waitctl_uncounted
    WHERE waitctl_uncounted.wait_id = workflow_wait_executions.id
    LIMIT 1
), false)
ORDER BY workflow_wait_executions.resolved_at
LIMIT :limit::INTEGER
FOR UPDATE SKIP LOCKED;
