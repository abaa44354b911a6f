-- note_diagnostics
-- What conditions could not say. Last of all, since listeners are locked after their waits; and by id.

WITH noted AS (
    SELECT workflow_event_listeners.id AS id, wanted.diagnostic AS diagnostic
    FROM workflow_event_listeners
    JOIN (
        SELECT json_extract(value, '$."id"') AS id, json_extract(value,
            '$."diagnostic"') AS diagnostic
        FROM json_each(:wanted)
    ) AS wanted ON workflow_event_listeners.id = wanted.id
    ORDER BY workflow_event_listeners.id
)
UPDATE workflow_event_listeners
SET diagnostic=noted.diagnostic
FROM noted
WHERE workflow_event_listeners.id = noted.id;
