-- claim_ended
-- The waits that ended longest ago, are counted, and have no delivery in hand. Locks them, past the locked ones.

SELECT workflow_wait_executions.id, workflow_wait_executions.resolved_at,
    workflow_wait_executions.idempotency_key IS NOT NULL AS anon_1,
    workflow_wait_executions.status = 'error' AS anon_2
FROM workflow_wait_executions
WHERE workflow_wait_executions.resolved_at >= :after
  AND workflow_wait_executions.resolved_at < :before
  AND coalesce((
    SELECT 1 AS anon_3
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.wait_id = workflow_wait_executions.id
      AND workflow_wait_deliveries.status IN ('pending', 'running')
    LIMIT 1
    OFFSET :param_4
), 0) = 0
  AND coalesce((
    SELECT 1 AS anon_3
    FROM waitctl_uncounted
    WHERE waitctl_uncounted.wait_id = workflow_wait_executions.id
    LIMIT 1
    OFFSET :param_5
), 0) = 0
ORDER BY workflow_wait_executions.resolved_at
LIMIT :limit
OFFSET :param_6;
