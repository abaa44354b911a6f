-- roll_up_waits
-- Add waits that ended to the totals: how they did, how late, and how long an event took to come.

WITH summed AS (
    SELECT measured.measure AS measure, measured.day AS day, measured.workflow_id AS workflow_id,
        measured.wait_type AS wait_type, measured.step_id AS step_id, measured.handler AS handler,
        measured.source AS source, measured.outcome AS outcome, measured.bucket AS bucket,
        count(*) AS count, sum(measured.value) AS total
    FROM (
        SELECT 'ended' AS measure, substr(replace(workflow_wait_executions.resolved_at, ' ',
            'T') || 'Z', :substr_1, :substr_2) AS day,
            coalesce(workflow_wait_executions.workflow_id, '') AS workflow_id,
            CAST(workflow_wait_executions.wait_type AS TEXT) AS wait_type,
            workflow_wait_executions.step_id AS step_id, coalesce(CASE
            WHEN (workflow_wait_executions.resolution = 'due')
            THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_1) AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'event')
            THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_2) AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'timeout')
            THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_3) AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'manual')
            THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_4) AS VARCHAR) END,
            workflow_wait_executions.handler, '') AS handler, '' AS source,
            CAST(workflow_wait_executions.resolution AS TEXT) AS outcome,
            CAST(0 AS INTEGER) AS bucket, 0 AS value
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.resolved_at >= :since
          AND workflow_wait_executions.resolved_at < :until
          AND coalesce((
            SELECT 1 AS anon_1
            FROM waitctl_uncounted
            WHERE waitctl_uncounted.wait_id = workflow_wait_executions.id
            LIMIT 1
            OFFSET :param_5
        ), 0) = 0
        UNION ALL
        SELECT 'late' AS measure, substr(replace(workflow_wait_executions.resolved_at, ' ',
            'T') || 'Z', :substr_3, :substr_4) AS day,
            coalesce(workflow_wait_executions.workflow_id, '') AS workflow_id,
            CAST(workflow_wait_executions.wait_type AS TEXT) AS wait_type,
            workflow_wait_executions.step_id AS step_id, coalesce(CASE
            WHEN (workflow_wait_executions.resolution = 'due')
            THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_5) AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'event')
            THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_6) AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'timeout')
            THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_7) AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'manual')
            THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_8) AS VARCHAR) END,
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
            ELSE 1000000000000000 END AS INTEGER) AS bucket,
            workflow_wait_executions.late_seconds AS value
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.resolution IN ('due', 'timeout')
          AND workflow_wait_executions.late_seconds IS NOT NULL
          AND workflow_wait_executions.resolved_at >= :since
          AND workflow_wait_executions.resolved_at < :until
          AND coalesce((
            SELECT 1 AS anon_1
            FROM waitctl_uncounted
            WHERE waitctl_uncounted.wait_id = workflow_wait_executions.id
            LIMIT 1
            OFFSET :param_12
        ), 0) = 0
        UNION ALL
        SELECT 'to_event' AS measure, substr(replace(workflow_wait_executions.resolved_at, ' ',
            'T') || 'Z', :substr_5, :substr_6) AS day,
            coalesce(workflow_wait_executions.workflow_id, '') AS workflow_id,
            CAST(workflow_wait_executions.wait_type AS TEXT) AS wait_type,
            workflow_wait_executions.step_id AS step_id, coalesce(CASE
            WHEN (workflow_wait_executions.resolution = 'due')
            THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_9) AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'event')
            THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_10) AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'timeout')
            THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_11) AS VARCHAR)
            WHEN (workflow_wait_executions.resolution = 'manual')
            THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_12) AS VARCHAR) END,
            workflow_wait_executions.handler, '') AS handler, '' AS source,
            CAST(workflow_wait_executions.resolution AS TEXT) AS outcome, CAST(CASE
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 0)
            THEN 0
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 1)
            THEN 1
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 2)
            THEN 2
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 3)
            THEN 3
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 5)
            THEN 5
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 10)
            THEN 10
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 15)
            THEN 15
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 20)
            THEN 20
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 30)
            THEN 30
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 45)
            THEN 45
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 60)
            THEN 60
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 120)
            THEN 120
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 180)
            THEN 180
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 300)
            THEN 300
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 600)
            THEN 600
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 900)
            THEN 900
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 1800)
            THEN 1800
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 3600)
            THEN 3600
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 7200)
            THEN 7200
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 14400)
            THEN 14400
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 28800)
            THEN 28800
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 43200)
            THEN 43200
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 86400)
            THEN 86400
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 172800)
            THEN 172800
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 259200)
            THEN 259200
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 432000)
            THEN 432000
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 604800)
            THEN 604800
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 1209600)
            THEN 1209600
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 2592000)
            THEN 2592000
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 5184000)
            THEN 5184000
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 7776000)
            THEN 7776000
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 15552000)
            THEN 15552000
            WHEN (CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) <= 31536000)
            THEN 31536000 ELSE 1000000000000000 END AS INTEGER) AS bucket,
            CAST((julianday(workflow_wait_executions.resolved_at) - julianday(workflow_wait_executions.created_at)) * 86400 + 0.0005 AS INTEGER) AS value
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.resolution = 'event'
          AND workflow_wait_executions.wait_type = 'for_event'
          AND workflow_wait_executions.resolved_at >= :since
          AND workflow_wait_executions.resolved_at < :until
          AND coalesce((
            SELECT 1 AS anon_1
            FROM waitctl_uncounted
            WHERE waitctl_uncounted.wait_id = workflow_wait_executions.id
            LIMIT 1
            OFFSET :param_19
        ), 0) = 0
    ) AS measured
    GROUP BY measured.measure, measured.day, measured.workflow_id, measured.wait_type,
        measured.step_id, measured.handler, measured.source, measured.outcome, measured.bucket
)
INSERT INTO waitctl_rollups (measure, day, workflow_id, wait_type, step_id, handler, source,
    outcome, bucket, count, total)
SELECT given.measure, given.day, given.workflow_id, given.wait_type, given.step_id, given.handler,
    given.source, given.outcome, given.bucket, CAST(sum(given.count) AS INTEGER) AS sum_1,
    CAST(sum(given.total) AS INTEGER) AS sum_2
FROM (
    SELECT summed.measure AS measure, summed.day AS day, summed.workflow_id AS workflow_id,
        summed.wait_type AS wait_type, summed.step_id AS step_id, summed.handler AS handler,
        summed.source AS source, summed.outcome AS outcome, summed.bucket AS bucket,
        summed.count AS count, summed.total AS total
    FROM summed
    UNION ALL
    SELECT summed.measure AS measure, 'm' || substr(summed.day, :substr_7, :substr_8) AS day,
        summed.workflow_id AS workflow_id, summed.wait_type AS wait_type, summed.step_id AS step_id,
        summed.handler AS handler, summed.source AS source, summed.outcome AS outcome,
        summed.bucket AS bucket, summed.count AS count, summed.total AS total
    FROM summed
    UNION ALL
    SELECT summed.measure AS measure, '' AS day, '' AS workflow_id, '' AS wait_type, '' AS step_id,
        '' AS handler, summed.source AS source, summed.outcome AS outcome, summed.bucket AS bucket,
        summed.count AS count, summed.total AS total
    FROM summed
) AS given
WHERE 1 = 1
GROUP BY given.measure, given.day, given.workflow_id, given.wait_type, given.step_id, given.handler,
    given.source, given.outcome, given.bucket
ON CONFLICT (measure, day, workflow_id, wait_type, step_id, handler, source, outcome, bucket) DO
UPDATE
SET count = waitctl_rollups.count + excluded.count, total = waitctl_rollups.total + excluded.total;
