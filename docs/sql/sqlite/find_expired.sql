-- find_expired
-- The listeners of the waits that expired first. Locks nothing: their topics come first.

SELECT workflow_event_listeners.wait_id, workflow_event_listeners.event_type,
    workflow_event_listeners.contact_id, page.expires_at, page.listener_id
FROM workflow_event_listeners
JOIN (
    SELECT workflow_wait_executions.id AS id, workflow_event_listeners.expires_at AS expires_at,
        workflow_event_listeners.id AS listener_id
    FROM workflow_wait_executions
    JOIN workflow_event_listeners ON workflow_event_listeners.wait_id = workflow_wait_executions.id
    WHERE workflow_event_listeners.status = 'active'
      AND workflow_event_listeners.expires_at <= :now
      AND workflow_wait_executions.status = 'waiting'
      AND NOT (EXISTS (
        SELECT 1
        FROM workflow_event_listeners AS heard
        JOIN workflow_events ON workflow_events.contact_id = heard.contact_id
          AND workflow_events.event_type = heard.event_type
        WHERE heard.wait_id = workflow_wait_executions.id
          AND workflow_events.correlated_at IS NULL
    ))
      AND (workflow_event_listeners.expires_at, workflow_event_listeners.id) > (:low_at, :low_id)
      AND NOT (EXISTS (
        SELECT *
        FROM workflow_event_listeners AS heard
        WHERE heard.wait_id = workflow_wait_executions.id
          AND heard.status = 'active'
          AND heard.id < workflow_event_listeners.id
    ))
    ORDER BY workflow_event_listeners.expires_at, workflow_event_listeners.id
    LIMIT :limit
    OFFSET :param_4
) AS page ON page.id = workflow_event_listeners.wait_id;
