-- count_next
-- The next of what ends by the clock, by quarter hours: scheduled waits, and the ends of listeners' grace.
--
-- Rows of (kind, quarter, waits, rows looked at), of which each kind has no more than the first that there are.

SELECT 0, CAST(floor(extract(epoch FROM anon_2.at) / 900) AS BIGINT) AS anon_1, count(*) AS count_1,
    count(*) AS count_2
FROM (
    SELECT workflow_wait_executions.scheduled_at AS at
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.scheduled_at > :now::TIMESTAMP WITH TIME ZONE
      AND workflow_wait_executions.scheduled_at < :until::TIMESTAMP WITH TIME ZONE
      AND workflow_wait_executions.status = 'scheduled'
    ORDER BY workflow_wait_executions.scheduled_at
    LIMIT 10001
) AS anon_2
GROUP BY CAST(floor(extract(epoch FROM anon_2.at) / 900) AS BIGINT)
UNION ALL
SELECT 1, CAST(floor(extract(epoch FROM anon_4.at) / 900) AS BIGINT) AS anon_3,
    count(DISTINCT anon_4.wait_id) AS count_3, count(*) AS count_4
FROM (
    SELECT workflow_event_listeners.expires_at AS at, workflow_event_listeners.wait_id AS wait_id
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.expires_at > :now::TIMESTAMP WITH TIME ZONE
      AND workflow_event_listeners.expires_at < :until::TIMESTAMP WITH TIME ZONE
      AND workflow_event_listeners.status = 'active'
    ORDER BY workflow_event_listeners.expires_at
    LIMIT 10001
) AS anon_4
GROUP BY CAST(floor(extract(epoch FROM anon_4.at) / 900) AS BIGINT);
