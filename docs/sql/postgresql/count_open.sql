-- count_open
-- The open waits by type and status: of those for a time the next ones, of those for events the first to expire.

SELECT scheduled.wait_type, scheduled.status, count(*) AS count_1
FROM (
    SELECT workflow_wait_executions.wait_type AS wait_type,
        workflow_wait_executions.status AS status
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.status = 'scheduled'
    ORDER BY workflow_wait_executions.scheduled_at
    LIMIT 10001
) AS scheduled
GROUP BY scheduled.wait_type, scheduled.status
UNION ALL
SELECT CAST('for_event' AS workflow_wait_type) AS "'for_event'",
    CAST('waiting' AS workflow_wait_status) AS "'waiting'", (
    SELECT CASE WHEN (count(*) = 10001 AND count(DISTINCT listening.wait_id) < 10001) THEN (
        SELECT CASE WHEN (count(*) = 20002) THEN 10001
            ELSE count(DISTINCT further.wait_id) END AS anon_3
        FROM (
            SELECT workflow_event_listeners.wait_id AS wait_id
            FROM workflow_event_listeners
            WHERE workflow_event_listeners.status = 'active'
            ORDER BY workflow_event_listeners.expires_at
            LIMIT 20002
        ) AS further
    ) ELSE count(DISTINCT listening.wait_id) END AS anon_2
    FROM (
        SELECT workflow_event_listeners.wait_id AS wait_id
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.status = 'active'
        ORDER BY workflow_event_listeners.expires_at
        LIMIT 10001
    ) AS listening
) AS anon_1;
