-- named_by_open
-- The calendars and zone rules that the open waits name which are due next, and as many of those for events.

SELECT DISTINCT named.calendar, named.tzdata
FROM (
    SELECT anon_1.calendar AS calendar, anon_1.tzdata AS tzdata
    FROM (
        SELECT CAST(JSON_EXTRACT(workflow_wait_executions.wait_config,
            :wait_config_1) AS VARCHAR) AS calendar,
            CAST(JSON_EXTRACT(workflow_wait_executions.wait_config,
            :wait_config_2) AS VARCHAR) AS tzdata
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.status = 'scheduled'
        ORDER BY workflow_wait_executions.scheduled_at
        LIMIT 10001
        OFFSET :param_2
    ) AS anon_1
    UNION ALL
    SELECT anon_2.calendar AS calendar, anon_2.tzdata AS tzdata
    FROM (
        SELECT CAST(JSON_EXTRACT(workflow_wait_executions.wait_config,
            :wait_config_1) AS VARCHAR) AS calendar,
            CAST(JSON_EXTRACT(workflow_wait_executions.wait_config,
            :wait_config_2) AS VARCHAR) AS tzdata
        FROM workflow_wait_executions
        JOIN workflow_event_listeners
            ON workflow_event_listeners.wait_id = workflow_wait_executions.id
        WHERE workflow_event_listeners.status = 'active'
        ORDER BY workflow_event_listeners.expires_at
        LIMIT 10001
        OFFSET :param_4
    ) AS anon_2
) AS named;
