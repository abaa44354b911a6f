-- count_overdue
-- How many open waits are overdue, since when, and when the next one ends.

SELECT count(*) FILTER (WHERE anon_2.at <= :now::TIMESTAMP WITH TIME ZONE) AS anon_1,
    min(anon_2.at) FILTER (WHERE anon_2.at <= :now::TIMESTAMP WITH TIME ZONE) AS anon_3,
    min(anon_2.at) FILTER (WHERE anon_2.at > :now::TIMESTAMP WITH TIME ZONE) AS anon_4
FROM (
    SELECT workflow_wait_executions.scheduled_at AS at
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.status = 'scheduled'
    UNION ALL
    SELECT min(workflow_event_listeners.expires_at) AS min_1
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.status = 'active'
    GROUP BY workflow_event_listeners.wait_id
) AS anon_2;
