-- find_old_events
-- Events that were received long ago and that no wait which is still there refers to, by the clock in their ids.

SELECT workflow_events.id
FROM workflow_events
WHERE workflow_events.id >= :first_id::UUID
  AND workflow_events.id < :last_id::UUID
  AND workflow_events.received_at < :before::TIMESTAMP WITH TIME ZONE
  AND workflow_events.correlated_at IS NOT NULL
  AND NOT coalesce((
    SELECT true AS anon_1
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.matched_event_id = workflow_events.id
    LIMIT 1
), false)
  AND NOT coalesce((
    SELECT true AS anon_1
    FROM workflow_listener_matches
    WHERE workflow_listener_matches.event_id = workflow_events.id
    LIMIT 1
), false)
ORDER BY workflow_events.id
LIMIT :limit::INTEGER;
