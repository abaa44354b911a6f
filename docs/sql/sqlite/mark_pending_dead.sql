-- mark_pending_dead
-- Give up deliveries to handlers that nobody knows. Their waits are locked before (`lock_waits`).

UPDATE workflow_wait_deliveries
SET status='dead', last_error=:error
WHERE workflow_wait_deliveries.id IN (
    SELECT value
    FROM json_each(:ids)
)
  AND workflow_wait_deliveries.status = 'pending'
RETURNING id;
