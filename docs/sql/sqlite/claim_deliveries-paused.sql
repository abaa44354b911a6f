-- claim_deliveries-paused
-- Lease the deliveries of a handler that have waited longest. Locks them in that order, past the locked ones.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
INSERT INTO waitctl_claimed (id)
SELECT workflow_wait_deliveries.id
FROM workflow_wait_deliveries
WHERE workflow_wait_deliveries.handler = :of_handler
  AND NOT (EXISTS (
    SELECT *
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.id = workflow_wait_deliveries.wait_id
      AND workflow_wait_executions.workflow_id IN ('billing')
))
  AND workflow_wait_deliveries.status = 'pending'
  AND workflow_wait_deliveries.next_attempt_at <= :now
  AND workflow_wait_deliveries.next_attempt_at >= :low
ORDER BY workflow_wait_deliveries.next_attempt_at
LIMIT :limit
OFFSET :param_2;

-- leased
UPDATE workflow_wait_deliveries
SET status='running', max_attempts=coalesce(workflow_wait_deliveries.max_attempts,
    workflow_wait_deliveries.attempt + :most_attempts), lease_expires_at=:lease_until,
    claims=(workflow_wait_deliveries.claims + 1)
WHERE workflow_wait_deliveries.id IN (
    SELECT waitctl_claimed.id
    FROM waitctl_claimed
);

-- told
SELECT leased.id, leased.wait_id, leased.handler, leased.outcome, leased.status,
    leased.attempt + 1 AS attempt, leased.max_attempts, leased.next_attempt_at,
    leased.lease_expires_at, leased.last_error, leased.created_at, leased.delivered_at,
    leased.dead_delivery_id, leased.claims, EXISTS (
    SELECT *
    FROM workflow_wait_deliveries AS other
    WHERE other.wait_id = leased.wait_id
      AND other.id != leased.id
) AS shared
FROM (
    SELECT workflow_wait_deliveries.id AS id, workflow_wait_deliveries.wait_id AS wait_id,
        workflow_wait_deliveries.handler AS handler, workflow_wait_deliveries.outcome AS outcome,
        workflow_wait_deliveries.status AS status, workflow_wait_deliveries.attempt AS attempt,
        workflow_wait_deliveries.max_attempts AS max_attempts,
        workflow_wait_deliveries.next_attempt_at AS next_attempt_at,
        workflow_wait_deliveries.lease_expires_at AS lease_expires_at,
        workflow_wait_deliveries.last_error AS last_error,
        workflow_wait_deliveries.created_at AS created_at,
        workflow_wait_deliveries.delivered_at AS delivered_at,
        workflow_wait_deliveries.dead_delivery_id AS dead_delivery_id,
        workflow_wait_deliveries.claims AS claims
    FROM workflow_wait_deliveries, waitctl_claimed
    WHERE workflow_wait_deliveries.id = waitctl_claimed.id
) AS leased;
