-- count_listeners
-- The active listeners: all, those that expire soon, those that have expired; of the first, the orphans.

SELECT (
    SELECT count(*) AS count_1
    FROM (
        SELECT 1
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.status = 'active'
        ORDER BY workflow_event_listeners.expires_at
        LIMIT 10001
        OFFSET :param_2
    ) AS anon_2
) AS anon_1, (
    SELECT count(*) AS count_2
    FROM (
        SELECT 1
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.status = 'active'
          AND workflow_event_listeners.expires_at > :now
          AND workflow_event_listeners.expires_at <= :until
        ORDER BY workflow_event_listeners.expires_at
        LIMIT 10001
        OFFSET :param_3
    ) AS anon_4
) AS anon_3, (
    SELECT count(*) AS count_3
    FROM (
        SELECT 1
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.status = 'active'
          AND workflow_event_listeners.expires_at <= :now
        ORDER BY workflow_event_listeners.expires_at
        LIMIT 10001
        OFFSET :param_4
    ) AS anon_6
) AS anon_5, (
    SELECT count(*) AS count_4
    FROM (
        SELECT workflow_event_listeners.wait_id AS wait_id
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.status = 'active'
        ORDER BY workflow_event_listeners.expires_at
        LIMIT 1000
        OFFSET :param_5
    ) AS listening_ones
    WHERE NOT (EXISTS (
        SELECT *
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.id = listening_ones.wait_id
          AND workflow_wait_executions.status IN ('waiting', 'scheduled')
    ))
) AS anon_7;
