-- settle_deliveries
-- Write what became of attempts that were not taken. Their waits are locked before (`lock_waits`).

UPDATE workflow_wait_deliveries
SET status=settled.status, attempt=settled.attempt, next_attempt_at=settled.next_attempt_at,
    lease_expires_at=NULL, last_error=settled.error
FROM jsonb_to_recordset(CAST(:settled::VARCHAR AS JSONB)) AS settled(id UUID, claim INTEGER,
    status workflow_delivery_status, attempt INTEGER, next_attempt_at TIMESTAMP WITH TIME ZONE,
    error TEXT)
WHERE workflow_wait_deliveries.id = settled.id
  AND workflow_wait_deliveries.claims = settled.claim
  AND workflow_wait_deliveries.status = 'running'
RETURNING workflow_wait_deliveries.id;
