-- get_subjects
-- What conditions see of these events.

SELECT workflow_events.id, workflow_events.event_type, workflow_events.contact_id,
    workflow_events.source, workflow_events.occurred_at, workflow_events.received_at,
    workflow_events.data, octet_length(CAST(workflow_events.data AS TEXT)) AS size
FROM workflow_events
WHERE workflow_events.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
