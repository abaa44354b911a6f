-- release_deliveries
-- Give deliveries back that are still on the lease that was taken.

UPDATE workflow_wait_deliveries
SET status='pending', attempt=(workflow_wait_deliveries.attempt - :counted), max_attempts=CASE
    WHEN (workflow_wait_deliveries.attempt - :counted > 0)
    THEN workflow_wait_deliveries.max_attempts END, lease_expires_at=NULL
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS claim
    FROM json_each(:taken)
) AS taken
WHERE workflow_wait_deliveries.id = taken.id
  AND workflow_wait_deliveries.claims = taken.claim
  AND workflow_wait_deliveries.status = 'running';
