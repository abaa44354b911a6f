-- retry_deliveries
-- Make deliveries due now, their attempts so far forgiven.

UPDATE workflow_wait_deliveries
SET status='pending', max_attempts=NULL, next_attempt_at=:now::TIMESTAMP WITH TIME ZONE
WHERE workflow_wait_deliveries.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
  AND workflow_wait_deliveries.status IN ('dead', 'dropped', 'pending')
RETURNING workflow_wait_deliveries.id;
