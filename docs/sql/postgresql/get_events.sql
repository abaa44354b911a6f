-- get_events
-- The events with these ids.

SELECT workflow_events.id, workflow_events.event_type, workflow_events.contact_id,
    workflow_events.data, workflow_events.source, workflow_events.external_id,
    workflow_events.occurred_at, workflow_events.received_at, workflow_events.correlated_at,
    workflow_events.expires_at
FROM workflow_events
WHERE workflow_events.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
