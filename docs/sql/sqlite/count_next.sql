-- count_next
-- The next of what ends by the clock, scheduled waits and the ends of listeners' grace, by quarter hours.

SELECT 0, CAST(strftime('%s', substr(some.at, 1, 19)) AS INTEGER) / 900 AS anon_1,
    count(*) AS count_1
FROM (
    SELECT workflow_wait_executions.scheduled_at AS at, workflow_wait_executions.id AS wait_id
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.status = 'scheduled'
      AND workflow_wait_executions.scheduled_at > :now
      AND workflow_wait_executions.scheduled_at < :until
    ORDER BY workflow_wait_executions.scheduled_at
    LIMIT 10001
    OFFSET :param_2
) AS some
GROUP BY CAST(strftime('%s', substr(some.at, 1, 19)) AS INTEGER) / 900
UNION ALL
SELECT 1, CAST(strftime('%s', substr(some.at, 1, 19)) AS INTEGER) / 900 AS anon_2,
    count(DISTINCT some.wait_id) AS count_2
FROM (
    SELECT workflow_event_listeners.expires_at AS at, workflow_event_listeners.wait_id AS wait_id
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.status = 'active'
      AND workflow_event_listeners.expires_at > :now
      AND workflow_event_listeners.expires_at < :until
    ORDER BY workflow_event_listeners.expires_at
    LIMIT 10001
    OFFSET :param_4
) AS some
GROUP BY CAST(strftime('%s', substr(some.at, 1, 19)) AS INTEGER) / 900;
