-- analytics_errors
-- The waits whose deliveries are dead, by everything: those that are still there, and those that were pruned so.
--
-- In one statement: a prune takes them from the one to the other.

SELECT rows.measure, rows.outcome, rows.bucket, CAST(sum(rows.count) AS BIGINT) AS sum_1,
    CAST(sum(rows.total) AS BIGINT) AS sum_2, rows.workflow_id, rows.wait_type, rows.step_id,
    rows.handler
FROM (
    SELECT waitctl_rollups.measure AS measure, waitctl_rollups.day AS day,
        waitctl_rollups.workflow_id AS workflow_id, waitctl_rollups.wait_type AS wait_type,
        waitctl_rollups.step_id AS step_id, waitctl_rollups.handler AS handler,
        waitctl_rollups.source AS source, waitctl_rollups.outcome AS outcome,
        waitctl_rollups.bucket AS bucket, waitctl_rollups.count AS count,
        waitctl_rollups.total AS total
    FROM waitctl_rollups
    WHERE waitctl_rollups.measure = 'error'
      AND waitctl_rollups.day >= :since_day::VARCHAR
    UNION ALL
    SELECT each.measure AS measure, each.day AS day, each.workflow_id AS workflow_id,
        each.wait_type AS wait_type, each.step_id AS step_id, each.handler AS handler,
        each.source AS source, each.outcome AS outcome, each.bucket AS bucket, each.count AS count,
        each.total AS total
    FROM (
        SELECT measured.measure AS measure, measured.day AS day,
            measured.workflow_id AS workflow_id, measured.wait_type AS wait_type,
            measured.step_id AS step_id, measured.handler AS handler, measured.source AS source,
            measured.outcome AS outcome, measured.bucket AS bucket, 1 AS count,
            measured.value AS total
        FROM (
            SELECT 'error' AS measure, substr(to_char(timezone('UTC',
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
            WHERE workflow_wait_executions.status = 'error'
              AND workflow_wait_executions.resolved_at >= :since::TIMESTAMP WITH TIME ZONE
        ) AS measured
    ) AS each
) AS rows
WHERE rows.wait_type IN (
    SELECT types.name
    FROM jsonb_to_recordset(CAST(:types::VARCHAR AS JSONB)) AS types(name TEXT)
)
  AND (:of_workflow_id::VARCHAR IS NULL OR rows.workflow_id = :of_workflow_id::VARCHAR)
  AND (:of_step_id::VARCHAR IS NULL OR rows.step_id = :of_step_id::VARCHAR)
  AND (:of_handler::VARCHAR IS NULL OR rows.handler = :of_handler::VARCHAR)
GROUP BY rows.measure, rows.outcome, rows.bucket, rows.workflow_id, rows.wait_type, rows.step_id,
    rows.handler HAVING CAST(sum(rows.count) AS BIGINT) != 0;
