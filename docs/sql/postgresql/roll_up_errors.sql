-- roll_up_errors
-- Add waits that are pruned to the totals, so far as their deliveries are dead.

WITH summed AS (
    SELECT measured.measure AS measure, measured.day AS day, measured.workflow_id AS workflow_id,
        measured.wait_type AS wait_type, measured.step_id AS step_id, measured.handler AS handler,
        measured.source AS source, measured.outcome AS outcome, measured.bucket AS bucket,
        count(*) AS count, sum(measured.value) AS total
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
          AND workflow_wait_executions.id = ANY (ARRAY(
            SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
        ))
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
) AS given
WHERE true
GROUP BY given.measure, given.day, given.workflow_id, given.wait_type, given.step_id, given.handler,
    given.source, given.outcome, given.bucket
ON CONFLICT (measure, day, workflow_id, wait_type, step_id, handler, source, outcome, bucket) DO
UPDATE
SET count = waitctl_rollups.count + excluded.count, total = waitctl_rollups.total + excluded.total;
