-- count_listeners
-- The active listeners: all, those that expire soon, and those that have expired.

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
) AS anon_5;
