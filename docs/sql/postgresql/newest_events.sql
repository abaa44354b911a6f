-- newest_events
-- The newest events, for a shell to complete their ids.

SELECT workflow_events.id, workflow_events.event_type, workflow_events.contact_id
FROM workflow_events
ORDER BY workflow_events.id DESC
LIMIT 500;
