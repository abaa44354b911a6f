-- next_ends
-- When the next wait for a time is due, and the next listener expires.

SELECT (
    SELECT workflow_wait_executions.scheduled_at
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.status = 'scheduled'
      AND workflow_wait_executions.scheduled_at > :now
    ORDER BY workflow_wait_executions.scheduled_at
    LIMIT :param_2
    OFFSET :param_3
) AS anon_1, (
    SELECT workflow_event_listeners.expires_at
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.status = 'active'
      AND workflow_event_listeners.expires_at > :now
    ORDER BY workflow_event_listeners.expires_at
    LIMIT :param_5
    OFFSET :param_6
) AS anon_2;
