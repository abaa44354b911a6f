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
    SELECT CASE WHEN (
        SELECT :sum_1::INTEGER * sum(CASE WHEN (ends.number = :number_1::INTEGER) THEN 1
            ELSE 0 END) >= sum(ends.number) AS anon_3
        FROM (
            SELECT anon_4.expires_at AS expires_at, count(*) AS number
            FROM (
                SELECT workflow_event_listeners.expires_at AS expires_at
                FROM workflow_event_listeners
                WHERE workflow_event_listeners.status = 'active'
                ORDER BY workflow_event_listeners.expires_at
                LIMIT 10001
            ) AS anon_4
            GROUP BY anon_4.expires_at
        ) AS ends
    ) THEN (
        SELECT CASE WHEN (listening.listeners = 10001 AND listening.waits < 10001) THEN (
            SELECT CASE WHEN (further.listeners = 20002) THEN 10001 ELSE further.waits END AS anon_6
            FROM (
                SELECT CAST(coalesce(sum(further_ends.number),
                    :coalesce_1::INTEGER) AS BIGINT) AS listeners, CAST(coalesce(sum(CASE
                    WHEN (further_ends.number = :number_2::INTEGER) THEN 1
                    WHEN (further_ends.expires_at IS NULL) THEN (
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
                            AND workflow_event_listeners.expires_at = further_ends.expires_at
                        LIMIT 20002
                    ) AS together
                ) END), :coalesce_2::INTEGER) AS BIGINT) AS waits
                FROM (
                    SELECT anon_7.expires_at AS expires_at, count(*) AS number
                    FROM (
                        SELECT workflow_event_listeners.expires_at AS expires_at
                        FROM workflow_event_listeners
                        WHERE workflow_event_listeners.status = 'active'
                        ORDER BY workflow_event_listeners.expires_at
                        LIMIT 20002
                    ) AS anon_7
                    GROUP BY anon_7.expires_at
                ) AS further_ends
            ) AS further
        ) ELSE listening.waits END AS anon_5
        FROM (
            SELECT CAST(coalesce(sum(listening_ends.number),
                :coalesce_3::INTEGER) AS BIGINT) AS listeners, CAST(coalesce(sum(CASE
                WHEN (listening_ends.number = :number_3::INTEGER) THEN 1
                WHEN (listening_ends.expires_at IS NULL) THEN (
                SELECT count(DISTINCT never.wait_id) AS count_4
                FROM (
                    SELECT workflow_event_listeners.wait_id AS wait_id
                    FROM workflow_event_listeners
                    WHERE workflow_event_listeners.status = 'active'
                        AND workflow_event_listeners.expires_at IS NULL
                    LIMIT 20002
                ) AS never
            ) ELSE (
                SELECT count(DISTINCT together.wait_id) AS count_5
                FROM (
                    SELECT workflow_event_listeners.wait_id AS wait_id
                    FROM workflow_event_listeners
                    WHERE workflow_event_listeners.status = 'active'
                        AND workflow_event_listeners.expires_at = listening_ends.expires_at
                    LIMIT 20002
                ) AS together
            ) END), :coalesce_4::INTEGER) AS BIGINT) AS waits
            FROM (
                SELECT anon_8.expires_at AS expires_at, count(*) AS number
                FROM (
                    SELECT workflow_event_listeners.expires_at AS expires_at
                    FROM workflow_event_listeners
                    WHERE workflow_event_listeners.status = 'active'
                    ORDER BY workflow_event_listeners.expires_at
                    LIMIT 10001
                ) AS anon_8
                GROUP BY anon_8.expires_at
            ) AS listening_ends
        ) AS listening
    ) ELSE (
        SELECT CASE WHEN (count(*) = 20002) THEN 10001
            ELSE count(DISTINCT rows.wait_id) END AS anon_9
        FROM (
            SELECT workflow_event_listeners.wait_id AS wait_id
            FROM workflow_event_listeners
            WHERE workflow_event_listeners.status = 'active'
            ORDER BY workflow_event_listeners.expires_at
            LIMIT 20002
        ) AS rows
    ) END AS anon_2
) AS anon_1;
