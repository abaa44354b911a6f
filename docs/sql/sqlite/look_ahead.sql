-- look_ahead
-- The next instants that end a wait, and whether an event of the inbox table is yet to be correlated.

SELECT EXISTS (
    SELECT 1
    FROM workflow_events
    WHERE workflow_events.correlated_at IS NULL
) AS anon_1, (
    SELECT workflow_wait_executions.scheduled_at
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.status = 'scheduled'
      AND (workflow_wait_executions.scheduled_at, workflow_wait_executions.id) > (:due_at, :due_id)
    ORDER BY workflow_wait_executions.scheduled_at, workflow_wait_executions.id
    LIMIT :param_2
    OFFSET :param_3
) AS anon_2, (
    SELECT workflow_event_listeners.expires_at
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.status = 'active'
      AND (workflow_event_listeners.expires_at, workflow_event_listeners.id) > (:expires_at,
          :expires_id)
    ORDER BY workflow_event_listeners.expires_at, workflow_event_listeners.id
    LIMIT :param_5
    OFFSET :param_6
) AS anon_3;
