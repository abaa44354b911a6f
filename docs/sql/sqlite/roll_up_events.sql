-- roll_up_events
-- Add events to the totals, by source: those whose ids, which begin with a clock, lie between two.

WITH summed AS (
    SELECT measured.measure AS measure, measured.day AS day, measured.workflow_id AS workflow_id,
        measured.wait_type AS wait_type, measured.step_id AS step_id, measured.handler AS handler,
        measured.source AS source, measured.outcome AS outcome, measured.bucket AS bucket,
        count(*) AS count, sum(measured.value) AS total
    FROM (
        SELECT 'event' AS measure, substr(replace(workflow_events.received_at, ' ', 'T') || 'Z',
            :substr_1, :substr_2) AS day, '' AS workflow_id, '' AS wait_type, '' AS step_id,
            '' AS handler, workflow_events.source AS source, '' AS outcome,
            CAST(0 AS INTEGER) AS bucket, 0 AS value
        FROM workflow_events
        WHERE workflow_events.id >= :first_id
          AND workflow_events.id < :last_id
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
