-- count_remaining
-- How many waits are due, and how many have expired.

SELECT (
    SELECT count(*) AS count_1
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.status = 'scheduled'
      AND workflow_wait_executions.scheduled_at <= :now::TIMESTAMP WITH TIME ZONE
      AND (workflow_wait_executions.scheduled_at,
          workflow_wait_executions.id) > (:due_at::TIMESTAMP WITH TIME ZONE, :due_id::UUID)
) AS anon_1, (
    SELECT count(DISTINCT workflow_event_listeners.wait_id) AS count_2
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.status = 'active'
      AND workflow_event_listeners.expires_at <= :now::TIMESTAMP WITH TIME ZONE
      AND (
        SELECT workflow_wait_executions.status
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.id = workflow_event_listeners.wait_id
    ) = 'waiting'
      AND NOT (EXISTS (
        SELECT 1
        FROM workflow_event_listeners AS heard
        JOIN workflow_events ON workflow_events.contact_id = heard.contact_id
          AND workflow_events.event_type = heard.event_type
        WHERE heard.wait_id = workflow_event_listeners.wait_id
          AND workflow_events.correlated_at IS NULL
    ))
      AND (workflow_event_listeners.expires_at,
          workflow_event_listeners.id) > (:expires_at::TIMESTAMP WITH TIME ZONE, :expires_id::UUID)
) AS anon_2;
