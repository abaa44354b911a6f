-- read_data
-- The data of one event, by its id.

SELECT CAST(workflow_events.data AS TEXT) AS data
FROM workflow_events
WHERE workflow_events.id = :id::UUID;
