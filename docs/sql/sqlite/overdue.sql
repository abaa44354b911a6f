-- overdue
-- How many waits are overdue, and since when: the longest, the one that 95 of 100 are behind, the middle one.

SELECT ranked.place, ranked.number, ranked.at,
    (ranked.number - (ranked.number * :number_1 + :param_1) / :param_2) + :param_3 AS twentieth,
    (ranked.number - (ranked.number + :number_2) / :param_4) + :param_5 AS middle
FROM (
    SELECT overdue.at AS at, row_number() OVER (ORDER BY overdue.at) AS place,
        count(*) OVER () AS number
    FROM (
        SELECT scheduled.at AS at
        FROM (
            SELECT workflow_wait_executions.scheduled_at AS at
            FROM workflow_wait_executions
            WHERE workflow_wait_executions.status = 'scheduled'
              AND workflow_wait_executions.scheduled_at <= :now
            ORDER BY workflow_wait_executions.scheduled_at
            LIMIT 10001
            OFFSET :param_7
        ) AS scheduled
        UNION ALL
        SELECT min(expired.at) AS at
        FROM (
            SELECT workflow_event_listeners.expires_at AS at,
                workflow_event_listeners.wait_id AS wait_id
            FROM workflow_event_listeners
            WHERE workflow_event_listeners.status = 'active'
              AND workflow_event_listeners.expires_at <= :now
            ORDER BY workflow_event_listeners.expires_at
            LIMIT 20002
            OFFSET :param_9
        ) AS expired
        GROUP BY expired.wait_id
    ) AS overdue
) AS ranked
WHERE ranked.place = :place_1
  OR ranked.place = (ranked.number - (ranked.number * :number_1 + :param_1) / :param_2) + :param_3
  OR ranked.place = (ranked.number - (ranked.number + :number_2) / :param_4) + :param_5;
