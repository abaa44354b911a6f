-- find_id-event
-- The id, if there is one.

SELECT workflow_events.id
FROM workflow_events
WHERE workflow_events.id = :id::UUID;
