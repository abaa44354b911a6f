-- mark_delivered
-- Write that attempts were taken: what most come to, so that nothing but ids and numbers travels for it.

UPDATE workflow_wait_deliveries
SET status='delivered', next_attempt_at=:now, lease_expires_at=NULL, last_error=NULL,
    delivered_at=:now
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS claim
    FROM json_each(:taken)
) AS taken
WHERE workflow_wait_deliveries.id = taken.id
  AND workflow_wait_deliveries.claims = taken.claim
  AND workflow_wait_deliveries.status = 'running';
