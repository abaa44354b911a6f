-- roll_up_events
-- Add events to the totals, by source: those whose ids, which begin with a clock, lie between two.

INSERT INTO waitctl_rollups (measure, day, workflow_id, wait_type, step_id, handler, source,
    outcome, bucket, count, total)
SELECT measured.measure, measured.day, measured.workflow_id, measured.wait_type, measured.step_id,
    measured.handler, measured.source, measured.outcome, measured.bucket, count(*) AS count_1,
    CAST(sum(measured.value) AS BIGINT) AS sum_1
FROM (
    SELECT 'event' AS measure, substr(to_char(timezone('UTC', workflow_events.received_at),
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), :substr_1::INTEGER, :substr_2::INTEGER) AS day,
        '' AS workflow_id, '' AS wait_type, '' AS step_id, '' AS handler,
        workflow_events.source AS source, '' AS outcome, CAST(0 AS BIGINT) AS bucket, 0 AS value
    FROM workflow_events
    WHERE workflow_events.id >= :first_id::UUID
      AND workflow_events.id < :last_id::UUID
    UNION ALL
    SELECT 'event' AS measure, '' AS day, '' AS workflow_id, '' AS wait_type, '' AS step_id,
        '' AS handler, workflow_events.source AS source, '' AS outcome, CAST(0 AS BIGINT) AS bucket,
        0 AS value
    FROM workflow_events
    WHERE workflow_events.id >= :first_id::UUID
      AND workflow_events.id < :last_id::UUID
) AS measured
WHERE true
GROUP BY measured.measure, measured.day, measured.workflow_id, measured.wait_type, measured.step_id,
    measured.handler, measured.source, measured.outcome, measured.bucket
ON CONFLICT (measure, day, workflow_id, wait_type, step_id, handler, source, outcome, bucket) DO
UPDATE
SET count = waitctl_rollups.count + excluded.count, total = waitctl_rollups.total + excluded.total;
