-- count_upcoming-workflow
-- The scheduled waits by their instant, and the event waits by the end of their listeners' grace, by quarter hours.
--
-- Both in one statement, so that a wait which goes from one to the other meanwhile is counted once.

SELECT 0, placed.place, placed.quarter, count(DISTINCT placed.wait_id) AS count_1
FROM (
    SELECT CASE WHEN (workflow_wait_executions.scheduled_at <= :now::TIMESTAMP WITH TIME ZONE)
        THEN -1 WHEN (workflow_wait_executions.scheduled_at >= :until::TIMESTAMP WITH TIME ZONE)
        THEN 1 ELSE 0 END AS place, CASE
        WHEN (workflow_wait_executions.scheduled_at > :now::TIMESTAMP WITH TIME ZONE
        AND workflow_wait_executions.scheduled_at < :until::TIMESTAMP WITH TIME ZONE)
        THEN CAST(floor(extract(epoch FROM workflow_wait_executions.scheduled_at) / 900) AS BIGINT)
        ELSE 0 END AS quarter, workflow_wait_executions.id AS wait_id
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.status = 'scheduled'
      AND workflow_wait_executions.scheduled_at IS NOT NULL
      AND workflow_wait_executions.workflow_id = :workflow_id::VARCHAR
) AS placed
GROUP BY placed.place, placed.quarter
UNION ALL
SELECT 1, placed.place, placed.quarter, count(DISTINCT placed.wait_id) AS count_2
FROM (
    SELECT CASE WHEN (workflow_event_listeners.expires_at <= :now::TIMESTAMP WITH TIME ZONE) THEN -1
        WHEN (workflow_event_listeners.expires_at >= :until::TIMESTAMP WITH TIME ZONE) THEN 1
        ELSE 0 END AS place, CASE
        WHEN (workflow_event_listeners.expires_at > :now::TIMESTAMP WITH TIME ZONE
        AND workflow_event_listeners.expires_at < :until::TIMESTAMP WITH TIME ZONE)
        THEN CAST(floor(extract(epoch FROM workflow_event_listeners.expires_at) / 900) AS BIGINT)
        ELSE 0 END AS quarter, workflow_event_listeners.wait_id AS wait_id
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.status = 'active'
      AND workflow_event_listeners.expires_at IS NOT NULL
      AND (
        SELECT workflow_wait_executions.workflow_id
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.id = workflow_event_listeners.wait_id
    ) = :workflow_id::VARCHAR
) AS placed
GROUP BY placed.place, placed.quarter;
