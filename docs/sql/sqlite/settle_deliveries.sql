-- settle_deliveries
-- Write what became of attempts that were not taken. Their waits are locked before (`lock_waits`).

UPDATE workflow_wait_deliveries
SET status=settled.status, attempt=settled.attempt, next_attempt_at=settled.next_attempt_at,
    lease_expires_at=NULL, last_error=settled.error
FROM (
    SELECT json_extract(value, '$."id"') AS id, json_extract(value, '$."claim"') AS claim,
        json_extract(value, '$."status"') AS status, json_extract(value, '$."attempt"') AS attempt,
        substr(json_extract(value, '$."next_attempt_at"'), 1, 26) AS next_attempt_at,
        json_extract(value, '$."error"') AS error
    FROM json_each(:settled)
) AS settled
WHERE workflow_wait_deliveries.id = settled.id
  AND workflow_wait_deliveries.claims = settled.claim
  AND workflow_wait_deliveries.status = 'running'
RETURNING id;
