-- note_diagnostics
-- What conditions could not say. Last of all, since listeners are locked after their waits; and by id.

WITH noted AS (
    SELECT workflow_event_listeners.id AS id, wanted.diagnostic AS diagnostic
    FROM workflow_event_listeners
    JOIN jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID, diagnostic TEXT)
        ON workflow_event_listeners.id = wanted.id
    ORDER BY workflow_event_listeners.id
    FOR UPDATE OF workflow_event_listeners
)
UPDATE workflow_event_listeners
SET diagnostic=noted.diagnostic
FROM noted
WHERE workflow_event_listeners.id = noted.id;
