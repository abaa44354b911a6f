-- listeners_of
-- The listeners of these waits, oldest first.

SELECT workflow_event_listeners.id, workflow_event_listeners.wait_id,
    workflow_event_listeners.event_type, workflow_event_listeners.contact_id,
    workflow_event_listeners.match, workflow_event_listeners.match_json,
    workflow_event_listeners."where", workflow_event_listeners.exclusive,
    workflow_event_listeners.gated, workflow_event_listeners.human,
    workflow_event_listeners.group_no, workflow_event_listeners.needed,
    workflow_event_listeners."distinct", workflow_event_listeners.diagnostic,
    workflow_event_listeners.status, workflow_event_listeners.since_at,
    workflow_event_listeners.timeout_at, workflow_event_listeners.expires_at,
    workflow_event_listeners.matched_event_id, workflow_event_listeners.matched_at
FROM workflow_event_listeners
WHERE workflow_event_listeners.wait_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
ORDER BY workflow_event_listeners.id;
