-- type_names
-- The registered event types, for a shell to complete them.

SELECT workflow_event_types.name
FROM workflow_event_types
ORDER BY workflow_event_types.name;
