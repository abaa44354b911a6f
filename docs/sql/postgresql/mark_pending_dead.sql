-- mark_pending_dead
-- Give up deliveries to handlers that nobody knows. Their waits are locked before (`lock_waits`).

UPDATE workflow_wait_deliveries
SET status='dead', last_error=:error::VARCHAR
WHERE workflow_wait_deliveries.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
  AND workflow_wait_deliveries.status = 'pending'
RETURNING workflow_wait_deliveries.id;
