-- retry_deliveries
-- Make deliveries due now, their attempts so far forgiven.

UPDATE workflow_wait_deliveries
SET status='pending', max_attempts=NULL, next_attempt_at=:now
WHERE workflow_wait_deliveries.id IN (
    SELECT value
    FROM json_each(:ids)
)
  AND workflow_wait_deliveries.status IN ('dead', 'dropped', 'pending')
RETURNING id;
