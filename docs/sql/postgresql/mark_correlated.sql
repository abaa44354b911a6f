-- mark_correlated
-- Say that events, which `inbox.claim_oldest` has locked, have been correlated.

UPDATE workflow_events
SET correlated_at=:now::TIMESTAMP WITH TIME ZONE
FROM jsonb_to_recordset(CAST(:given::VARCHAR AS JSONB)) AS given(id UUID)
WHERE workflow_events.id = given.id;
