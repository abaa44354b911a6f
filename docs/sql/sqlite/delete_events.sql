-- delete_events
-- Delete these events.

DELETE FROM workflow_events
WHERE workflow_events.id IN (
    SELECT value
    FROM json_each(:ids)
);
