-- overdue
-- How many waits are overdue, and since when: the longest, the one that 95 of 100 are behind, the middle one.

WITH overdue AS (
    SELECT ends.at AS at
    FROM (
        SELECT scheduled.at AS at
        FROM (
            SELECT workflow_wait_executions.scheduled_at AS at
            FROM workflow_wait_executions
            WHERE workflow_wait_executions.status = 'scheduled'
              AND workflow_wait_executions.scheduled_at <= :now::TIMESTAMP WITH TIME ZONE
            ORDER BY workflow_wait_executions.scheduled_at
            LIMIT 10001
        ) AS scheduled
        UNION ALL
        SELECT by_wait.at AS at
        FROM (
            SELECT DISTINCT expired.at AS at, expired.wait_id AS wait_id
            FROM (
                SELECT workflow_event_listeners.expires_at AS at,
                    workflow_event_listeners.wait_id AS wait_id
                FROM workflow_event_listeners
                WHERE workflow_event_listeners.status = 'active'
                  AND workflow_event_listeners.expires_at <= :now::TIMESTAMP WITH TIME ZONE
                ORDER BY workflow_event_listeners.expires_at
                LIMIT 20002
            ) AS expired
        ) AS by_wait
    ) AS ends
    ORDER BY ends.at
    LIMIT 10001
)
SELECT count(*) AS count_1, min(overdue.at) AS min_1, (
    SELECT overdue.at
    FROM overdue
    ORDER BY overdue.at
    LIMIT 1
    OFFSET (
        SELECT count(*) - (count(*) * :count_2::INTEGER + :param_3::INTEGER) / :param_4::INTEGER AS anon_2
        FROM overdue
    )
) AS anon_1, (
    SELECT overdue.at
    FROM overdue
    ORDER BY overdue.at
    LIMIT 1
    OFFSET (
        SELECT count(*) - (count(*) * :count_3::INTEGER + :param_5::INTEGER) / :param_6::INTEGER AS anon_4
        FROM overdue
    )
) AS anon_3
FROM overdue;
