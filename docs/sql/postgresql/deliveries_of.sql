-- deliveries_of
-- The deliveries of these waits, oldest first.

SELECT workflow_wait_deliveries.id, workflow_wait_deliveries.wait_id,
    workflow_wait_deliveries.handler, workflow_wait_deliveries.outcome,
    workflow_wait_deliveries.status, workflow_wait_deliveries.attempt,
    workflow_wait_deliveries.max_attempts, workflow_wait_deliveries.next_attempt_at,
    workflow_wait_deliveries.lease_expires_at, workflow_wait_deliveries.last_error,
    workflow_wait_deliveries.created_at, workflow_wait_deliveries.delivered_at,
    workflow_wait_deliveries.dead_delivery_id, workflow_wait_deliveries.claims
FROM workflow_wait_deliveries
WHERE workflow_wait_deliveries.wait_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
ORDER BY workflow_wait_deliveries.id;
