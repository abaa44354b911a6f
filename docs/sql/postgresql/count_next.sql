-- count_next
-- The next of what ends by the clock, scheduled waits and the ends of listeners' grace, by quarter hours.

SELECT 0, CAST(floor(extract(epoch FROM anon_2.scheduled_at) / 900) AS BIGINT) AS anon_1,
    count(*) AS count_1
FROM (
    SELECT workflow_wait_executions.scheduled_at AS scheduled_at
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.scheduled_at > :now::TIMESTAMP WITH TIME ZONE
      AND workflow_wait_executions.scheduled_at < :until::TIMESTAMP WITH TIME ZONE
      AND workflow_wait_executions.status = 'scheduled'
    ORDER BY workflow_wait_executions.scheduled_at
    LIMIT 10001
) AS anon_2
GROUP BY CAST(floor(extract(epoch FROM anon_2.scheduled_at) / 900) AS BIGINT)
UNION ALL
SELECT 1, CAST(floor(extract(epoch FROM ends.expires_at) / 900) AS BIGINT) AS anon_3, CAST(sum(CASE
    WHEN (ends.number = :number_1::INTEGER) THEN 1 WHEN (ends.expires_at IS NULL) THEN (
    SELECT count(DISTINCT never.wait_id) AS count_2
    FROM (
        SELECT workflow_event_listeners.wait_id AS wait_id
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.status = 'active'
            AND workflow_event_listeners.expires_at IS NULL
        LIMIT 20002
    ) AS never
) ELSE (
    SELECT count(DISTINCT together.wait_id) AS count_3
    FROM (
        SELECT workflow_event_listeners.wait_id AS wait_id
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.status = 'active'
            AND workflow_event_listeners.expires_at = ends.expires_at
        LIMIT 20002
    ) AS together
) END) AS BIGINT) AS sum_1
FROM (
    SELECT anon_4.expires_at AS expires_at, count(*) AS number
    FROM (
        SELECT workflow_event_listeners.expires_at AS expires_at
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.expires_at > :now::TIMESTAMP WITH TIME ZONE
          AND workflow_event_listeners.expires_at < :until::TIMESTAMP WITH TIME ZONE
          AND workflow_event_listeners.status = 'active'
        ORDER BY workflow_event_listeners.expires_at
        LIMIT 10001
    ) AS anon_4
    GROUP BY anon_4.expires_at
) AS ends
GROUP BY CAST(floor(extract(epoch FROM ends.expires_at) / 900) AS BIGINT);
