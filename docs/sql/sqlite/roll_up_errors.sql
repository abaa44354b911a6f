-- roll_up_errors
-- Add waits that are pruned to the totals, so far as their deliveries are dead.

INSERT INTO waitctl_rollups (measure, day, workflow_id, wait_type, step_id, handler, source,
    outcome, bucket, count, total)
SELECT measured.measure, measured.day, measured.workflow_id, measured.wait_type, measured.step_id,
    measured.handler, measured.source, measured.outcome, measured.bucket, count(*) AS count_1,
    CAST(sum(measured.value) AS INTEGER) AS sum_1
FROM (
    SELECT 'error' AS measure, substr(replace(workflow_wait_executions.resolved_at, ' ',
        'T') || 'Z', :substr_1, :substr_2) AS day, coalesce(workflow_wait_executions.workflow_id,
        '') AS workflow_id, CAST(workflow_wait_executions.wait_type AS TEXT) AS wait_type,
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
        CAST(workflow_wait_executions.resolution AS TEXT) AS outcome, CAST(0 AS INTEGER) AS bucket,
        0 AS value
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.status = 'error'
      AND workflow_wait_executions.id IN (
        SELECT value
        FROM json_each(:ids)
    )
) AS measured
WHERE 1 = 1
GROUP BY measured.measure, measured.day, measured.workflow_id, measured.wait_type, measured.step_id,
    measured.handler, measured.source, measured.outcome, measured.bucket
ON CONFLICT (measure, day, workflow_id, wait_type, step_id, handler, source, outcome, bucket) DO
UPDATE
SET count = waitctl_rollups.count + excluded.count, total = waitctl_rollups.total + excluded.total;
