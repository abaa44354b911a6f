-- not_yet
-- The waits that are in no total yet: how they ended, and how late.

SELECT measured.measure, measured.outcome, measured.bucket, count(*) AS count_1,
    CAST(sum(measured.value) AS BIGINT) AS sum_1
FROM (
    SELECT 'ended' AS measure, substr(to_char(timezone('UTC', workflow_wait_executions.resolved_at),
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), :substr_1::INTEGER, :substr_2::INTEGER) AS day,
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
        CAST(workflow_wait_executions.resolution AS TEXT) AS outcome, CAST(0 AS BIGINT) AS bucket,
        0 AS value
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.resolved_at >= :since::TIMESTAMP WITH TIME ZONE
    UNION ALL
    SELECT 'late' AS measure, substr(to_char(timezone('UTC', workflow_wait_executions.resolved_at),
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), :substr_3::INTEGER, :substr_4::INTEGER) AS day,
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
    UNION ALL
    SELECT 'ended' AS measure, substr(to_char(timezone('UTC', workflow_wait_executions.resolved_at),
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), :substr_1::INTEGER, :substr_2::INTEGER) AS day,
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
        CAST(workflow_wait_executions.resolution AS TEXT) AS outcome, CAST(0 AS BIGINT) AS bucket,
        0 AS value
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.id IN (
        SELECT waitctl_uncounted.wait_id
        FROM waitctl_uncounted
    )
      AND workflow_wait_executions.resolved_at < :since::TIMESTAMP WITH TIME ZONE
      AND workflow_wait_executions.resolved_at >= :first::TIMESTAMP WITH TIME ZONE
    UNION ALL
    SELECT 'late' AS measure, substr(to_char(timezone('UTC', workflow_wait_executions.resolved_at),
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), :substr_3::INTEGER, :substr_4::INTEGER) AS day,
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
      AND workflow_wait_executions.id IN (
        SELECT waitctl_uncounted.wait_id
        FROM waitctl_uncounted
    )
      AND workflow_wait_executions.resolved_at < :since::TIMESTAMP WITH TIME ZONE
      AND workflow_wait_executions.resolved_at >= :first::TIMESTAMP WITH TIME ZONE
) AS measured
GROUP BY measured.measure, measured.outcome, measured.bucket;
