-- roll_up_waits
-- Add waits that ended to the totals: how they did, how late, and how long an event took to come.

WITH summed AS (
    SELECT measured.measure AS measure, measured.day AS day, measured.workflow_id AS workflow_id,
        measured.wait_type AS wait_type, measured.step_id AS step_id, measured.handler AS handler,
        measured.source AS source, measured.outcome AS outcome, measured.bucket AS bucket,
        count(*) AS count, sum(measured.value) AS total
    FROM (
        SELECT 'ended' AS measure, substr(to_char(timezone('UTC',
            workflow_wait_executions.resolved_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            :substr_1::INTEGER, :substr_2::INTEGER) AS day,
            coalesce(workflow_wait_executions.workflow_id, '') AS workflow_id,
            CAST(workflow_wait_executions.wait_type AS TEXT) AS wait_type,
            workflow_wait_executions.step_id AS step_id, coalesce(CASE
            WHEN (workflow_wait_executions.resolution = 'due')
            THEN CAST(workflow_wait_executions.handlers ->> :handlers_1::TEXT AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'event')
            THEN CAST(workflow_wait_executions.handlers ->> :handlers_2::TEXT AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'timeout')
            THEN CAST(workflow_wait_executions.handlers ->> :handlers_3::TEXT AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'manual')
            THEN CAST(workflow_wait_executions.handlers ->> :handlers_4::TEXT AS VARCHAR) END,
            workflow_wait_executions.handler, '') AS handler, '' AS source,
            CAST(workflow_wait_executions.resolution AS TEXT) AS outcome,
            CAST(0 AS BIGINT) AS bucket, 0 AS value
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.resolved_at >= :since::TIMESTAMP WITH TIME ZONE
          AND workflow_wait_executions.resolved_at < :until::TIMESTAMP WITH TIME ZONE
          AND NOT coalesce((
            SELECT true AS anon_1
            FROM waitctl_uncounted
            WHERE waitctl_uncounted.wait_id = workflow_wait_executions.id
            LIMIT 1
        ), false)
        UNION ALL
        SELECT 'late' AS measure, substr(to_char(timezone('UTC',
            workflow_wait_executions.resolved_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            :substr_3::INTEGER, :substr_4::INTEGER) AS day,
            coalesce(workflow_wait_executions.workflow_id, '') AS workflow_id,
            CAST(workflow_wait_executions.wait_type AS TEXT) AS wait_type,
            workflow_wait_executions.step_id AS step_id, coalesce(CASE
            WHEN (workflow_wait_executions.resolution = 'due')
            THEN CAST(workflow_wait_executions.handlers ->> :handlers_5::TEXT AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'event')
            THEN CAST(workflow_wait_executions.handlers ->> :handlers_6::TEXT AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'timeout')
            THEN CAST(workflow_wait_executions.handlers ->> :handlers_7::TEXT AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'manual')
            THEN CAST(workflow_wait_executions.handlers ->> :handlers_8::TEXT AS VARCHAR) END,
            workflow_wait_executions.handler, '') AS handler, '' AS source,
            CAST(workflow_wait_executions.resolution AS TEXT) AS outcome, CAST(CASE
            WHEN (workflow_wait_executions.late_seconds <= 0) THEN 0
            WHEN (workflow_wait_executions.late_seconds <= 1) THEN 1
            WHEN (workflow_wait_executions.late_seconds <= 2) THEN 2
            WHEN (workflow_wait_executions.late_seconds <= 3) THEN 3
            WHEN (workflow_wait_executions.late_seconds <= 5) THEN 5
            WHEN (workflow_wait_executions.late_seconds <= 10) THEN 10
            WHEN (workflow_wait_executions.late_seconds <= 15) THEN 15
            WHEN (workflow_wait_executions.late_seconds <= 20) THEN 20
            WHEN (workflow_wait_executions.late_seconds <= 30) THEN 30
            WHEN (workflow_wait_executions.late_seconds <= 45) THEN 45
            WHEN (workflow_wait_executions.late_seconds <= 60) THEN 60
            WHEN (workflow_wait_executions.late_seconds <= 120) THEN 120
            WHEN (workflow_wait_executions.late_seconds <= 180) THEN 180
            WHEN (workflow_wait_executions.late_seconds <= 300) THEN 300
            WHEN (workflow_wait_executions.late_seconds <= 600) THEN 600
            WHEN (workflow_wait_executions.late_seconds <= 900) THEN 900
            WHEN (workflow_wait_executions.late_seconds <= 1800) THEN 1800
            WHEN (workflow_wait_executions.late_seconds <= 3600) THEN 3600
            WHEN (workflow_wait_executions.late_seconds <= 7200) THEN 7200
            WHEN (workflow_wait_executions.late_seconds <= 14400) THEN 14400
            WHEN (workflow_wait_executions.late_seconds <= 28800) THEN 28800
            WHEN (workflow_wait_executions.late_seconds <= 43200) THEN 43200
            WHEN (workflow_wait_executions.late_seconds <= 86400) THEN 86400
            WHEN (workflow_wait_executions.late_seconds <= 172800) THEN 172800
            WHEN (workflow_wait_executions.late_seconds <= 259200) THEN 259200
            WHEN (workflow_wait_executions.late_seconds <= 432000) THEN 432000
            WHEN (workflow_wait_executions.late_seconds <= 604800) THEN 604800
            WHEN (workflow_wait_executions.late_seconds <= 1209600) THEN 1209600
            WHEN (workflow_wait_executions.late_seconds <= 2592000) THEN 2592000
            WHEN (workflow_wait_executions.late_seconds <= 5184000) THEN 5184000
            WHEN (workflow_wait_executions.late_seconds <= 7776000) THEN 7776000
            WHEN (workflow_wait_executions.late_seconds <= 15552000) THEN 15552000
            WHEN (workflow_wait_executions.late_seconds <= 31536000) THEN 31536000
            ELSE 1000000000000000 END AS BIGINT) AS bucket,
            workflow_wait_executions.late_seconds AS value
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.resolution IN ('due', 'timeout')
          AND workflow_wait_executions.late_seconds IS NOT NULL
          AND workflow_wait_executions.resolved_at >= :since::TIMESTAMP WITH TIME ZONE
          AND workflow_wait_executions.resolved_at < :until::TIMESTAMP WITH TIME ZONE
          AND NOT coalesce((
            SELECT true AS anon_1
            FROM waitctl_uncounted
            WHERE waitctl_uncounted.wait_id = workflow_wait_executions.id
            LIMIT 1
        ), false)
        UNION ALL
        SELECT 'to_event' AS measure, substr(to_char(timezone('UTC',
            workflow_wait_executions.resolved_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            :substr_5::INTEGER, :substr_6::INTEGER) AS day,
            coalesce(workflow_wait_executions.workflow_id, '') AS workflow_id,
            CAST(workflow_wait_executions.wait_type AS TEXT) AS wait_type,
            workflow_wait_executions.step_id AS step_id, coalesce(CASE
            WHEN (workflow_wait_executions.resolution = 'due')
            THEN CAST(workflow_wait_executions.handlers ->> :handlers_9::TEXT AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'event')
            THEN CAST(workflow_wait_executions.handlers ->> :handlers_10::TEXT AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'timeout')
            THEN CAST(workflow_wait_executions.handlers ->> :handlers_11::TEXT AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'manual')
            THEN CAST(workflow_wait_executions.handlers ->> :handlers_12::TEXT AS VARCHAR) END,
            workflow_wait_executions.handler, '') AS handler, '' AS source,
            CAST(workflow_wait_executions.resolution AS TEXT) AS outcome, CAST(CASE
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 0)
            THEN 0
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 1)
            THEN 1
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 2)
            THEN 2
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 3)
            THEN 3
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 5)
            THEN 5
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 10)
            THEN 10
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 15)
            THEN 15
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 20)
            THEN 20
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 30)
            THEN 30
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 45)
            THEN 45
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 60)
            THEN 60
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 120)
            THEN 120
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 180)
            THEN 180
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 300)
            THEN 300
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 600)
            THEN 600
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 900)
            THEN 900
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 1800)
            THEN 1800
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 3600)
            THEN 3600
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 7200)
            THEN 7200
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 14400)
            THEN 14400
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 28800)
            THEN 28800
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 43200)
            THEN 43200
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 86400)
            THEN 86400
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 172800)
            THEN 172800
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 259200)
            THEN 259200
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 432000)
            THEN 432000
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 604800)
            THEN 604800
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 1209600)
            THEN 1209600
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 2592000)
            THEN 2592000
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 5184000)
            THEN 5184000
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 7776000)
            THEN 7776000
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 15552000)
            THEN 15552000
            WHEN (CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) <= 31536000)
            THEN 31536000 ELSE 1000000000000000 END AS BIGINT) AS bucket,
            CAST(floor(extract(epoch FROM workflow_wait_executions.resolved_at - workflow_wait_executions.created_at)) AS BIGINT) AS value
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.resolution = 'event'
          AND workflow_wait_executions.wait_type = 'for_event'
          AND workflow_wait_executions.resolved_at >= :since::TIMESTAMP WITH TIME ZONE
          AND workflow_wait_executions.resolved_at < :until::TIMESTAMP WITH TIME ZONE
          AND NOT coalesce((
            SELECT true AS anon_1
            FROM waitctl_uncounted
            WHERE waitctl_uncounted.wait_id = workflow_wait_executions.id
            LIMIT 1
        ), false)
    ) AS measured
    GROUP BY measured.measure, measured.day, measured.workflow_id, measured.wait_type,
        measured.step_id, measured.handler, measured.source, measured.outcome, measured.bucket
)
INSERT INTO waitctl_rollups (measure, day, workflow_id, wait_type, step_id, handler, source,
    outcome, bucket, count, total)
SELECT given.measure, given.day, given.workflow_id, given.wait_type, given.step_id, given.handler,
    given.source, given.outcome, given.bucket, CAST(sum(given.count) AS BIGINT) AS sum_1,
    CAST(sum(given.total) AS BIGINT) AS sum_2
FROM (
    SELECT summed.measure AS measure, summed.day AS day, summed.workflow_id AS workflow_id,
        summed.wait_type AS wait_type, summed.step_id AS step_id, summed.handler AS handler,
        summed.source AS source, summed.outcome AS outcome, summed.bucket AS bucket,
        summed.count AS count, summed.total AS total
    FROM summed
    UNION ALL
    SELECT summed.measure AS measure, 'm' || substr(summed.day, :substr_7::INTEGER,
        :substr_8::INTEGER) AS day, summed.workflow_id AS workflow_id,
        summed.wait_type AS wait_type, summed.step_id AS step_id, summed.handler AS handler,
        summed.source AS source, summed.outcome AS outcome, summed.bucket AS bucket,
        summed.count AS count, summed.total AS total
    FROM summed
    UNION ALL
    SELECT summed.measure AS measure, '' AS day, '' AS workflow_id, '' AS wait_type, '' AS step_id,
        '' AS handler, summed.source AS source, summed.outcome AS outcome, summed.bucket AS bucket,
        summed.count AS count, summed.total AS total
    FROM summed
) AS given
WHERE true
GROUP BY given.measure, given.day, given.workflow_id, given.wait_type, given.step_id, given.handler,
    given.source, given.outcome, given.bucket
ON CONFLICT (measure, day, workflow_id, wait_type, step_id, handler, source, outcome, bucket) DO
UPDATE
SET count = waitctl_rollups.count + excluded.count, total = waitctl_rollups.total + excluded.total;
