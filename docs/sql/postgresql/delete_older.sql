-- delete_older
-- Forget what came into quarantine before an instant: of one source, or of all but some.

DELETE FROM workflow_event_quarantine
WHERE workflow_event_quarantine.received_at < :before::TIMESTAMP WITH TIME ZONE
  AND (workflow_event_quarantine.source NOT IN (
    SELECT names.name
    FROM jsonb_to_recordset(CAST(:names::VARCHAR AS JSONB)) AS names(name TEXT)
));
