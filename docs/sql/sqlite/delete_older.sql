-- delete_older
-- Forget what came into quarantine before an instant: of one source, or of all but some.

DELETE FROM workflow_event_quarantine
WHERE workflow_event_quarantine.received_at < :before
  AND (workflow_event_quarantine.source NOT IN (
    SELECT names.name
    FROM (
        SELECT json_extract(value, '$."name"') AS name
        FROM json_each(:names)
    ) AS names
));
