-- registered_types
-- The names of the registered event types.

SELECT workflow_event_types.name
FROM workflow_event_types;
