-- read_data
-- The data of an event, by its id.

SELECT CAST(workflow_events.data AS TEXT) AS data
FROM workflow_events
WHERE workflow_events.id = :id::UUID;
