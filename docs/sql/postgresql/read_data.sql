-- read_data
-- An event's data.

SELECT CAST(workflow_events.data AS TEXT) AS data
FROM workflow_events
WHERE workflow_events.id = :id::UUID;
