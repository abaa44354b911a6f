-- topics_of
-- The topics of the listeners of these waits.

SELECT DISTINCT workflow_event_listeners.event_type, workflow_event_listeners.contact_id
FROM workflow_event_listeners
WHERE workflow_event_listeners.wait_id IN (
    SELECT value
    FROM json_each(:ids)
);
