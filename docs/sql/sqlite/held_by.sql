-- held_by
-- The waits that an event has scheduled for their next opening; by the listeners and matches that it took.

SELECT workflow_wait_executions.id, workflow_wait_executions.scheduled_at,
    workflow_wait_executions.timezone
FROM workflow_wait_executions
WHERE workflow_wait_executions.id IN (
    SELECT workflow_event_listeners.wait_id
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.matched_event_id = :event_id
    UNION
    SELECT workflow_listener_matches.wait_id
    FROM workflow_listener_matches
    WHERE workflow_listener_matches.event_id = :event_id
)
  AND workflow_wait_executions.resolution_event_id = :event_id
  AND workflow_wait_executions.status = 'scheduled'
ORDER BY workflow_wait_executions.id;
