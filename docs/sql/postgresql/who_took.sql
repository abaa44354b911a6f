-- who_took
-- The waits that took these events, each with its event, oldest first.

SELECT workflow_event_listeners.matched_event_id, workflow_event_listeners.wait_id
FROM workflow_event_listeners
WHERE workflow_event_listeners.matched_event_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
  AND workflow_event_listeners.status = 'matched'
UNION
SELECT workflow_listener_matches.event_id, workflow_listener_matches.wait_id
FROM workflow_listener_matches
WHERE workflow_listener_matches.event_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
ORDER BY 2;
