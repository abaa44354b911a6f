-- claim_deliveries-but
-- Lease the deliveries of a handler that have waited longest. Locks them in that order, past the locked ones.

WITH claimed AS (
    SELECT workflow_wait_deliveries.id AS id
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.handler = :of_handler::VARCHAR
      AND NOT workflow_wait_deliveries.id = ANY (ARRAY(
        SELECT unnest(CAST(string_to_array(:but::VARCHAR, E'\n') AS UUID[]))
    ))
      AND workflow_wait_deliveries.status = 'pending'
      AND workflow_wait_deliveries.next_attempt_at <= :now::TIMESTAMP WITH TIME ZONE
      AND workflow_wait_deliveries.next_attempt_at >= :low::TIMESTAMP WITH TIME ZONE
    ORDER BY workflow_wait_deliveries.next_attempt_at
    LIMIT :limit::INTEGER
    FOR UPDATE SKIP LOCKED
), leased AS (
    UPDATE workflow_wait_deliveries
    SET status='running', max_attempts=coalesce(workflow_wait_deliveries.max_attempts,
        workflow_wait_deliveries.attempt + :most_attempts::INTEGER),
        lease_expires_at=:lease_until::TIMESTAMP WITH TIME ZONE,
        claims=(workflow_wait_deliveries.claims + 1)
    WHERE workflow_wait_deliveries.id = ANY (ARRAY(
        SELECT claimed.id
        FROM claimed
    ))
    RETURNING workflow_wait_deliveries.id, workflow_wait_deliveries.wait_id,
        workflow_wait_deliveries.handler, workflow_wait_deliveries.outcome,
        workflow_wait_deliveries.status, workflow_wait_deliveries.attempt,
        workflow_wait_deliveries.max_attempts, workflow_wait_deliveries.next_attempt_at,
        workflow_wait_deliveries.lease_expires_at, workflow_wait_deliveries.last_error,
        workflow_wait_deliveries.created_at, workflow_wait_deliveries.delivered_at,
        workflow_wait_deliveries.dead_delivery_id, workflow_wait_deliveries.claims
)
SELECT leased.id, leased.wait_id, leased.handler, leased.outcome, leased.status,
    leased.attempt + 1 AS attempt, leased.max_attempts, leased.next_attempt_at,
    leased.lease_expires_at, leased.last_error, leased.created_at, leased.delivered_at,
    leased.dead_delivery_id, leased.claims, EXISTS (
    SELECT *
    FROM workflow_wait_deliveries AS other
    WHERE other.wait_id = leased.wait_id
      AND other.id != leased.id
) AS shared
FROM leased;
