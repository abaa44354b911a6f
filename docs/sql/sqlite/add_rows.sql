-- add_rows
-- Add what a tick has counted itself to the totals, sorted by key: the order in which rows are locked.

INSERT INTO waitctl_rollups (measure, day, workflow_id, wait_type, step_id, handler, source,
    outcome, bucket, count, total)
SELECT given.measure, given.day, given.workflow_id, given.wait_type, given.step_id, given.handler,
    given.source, given.outcome, given.bucket, given.count, given.total
FROM (
    SELECT json_extract(value, '$."measure"') AS measure, json_extract(value, '$."day"') AS day,
        json_extract(value, '$."workflow_id"') AS workflow_id, json_extract(value,
        '$."wait_type"') AS wait_type, json_extract(value, '$."step_id"') AS step_id,
        json_extract(value, '$."handler"') AS handler, json_extract(value, '$."source"') AS source,
        json_extract(value, '$."outcome"') AS outcome, json_extract(value, '$."bucket"') AS bucket,
        json_extract(value, '$."count"') AS count, json_extract(value, '$."total"') AS total
    FROM json_each(:given)
) AS given
WHERE 1 = 1
ON CONFLICT (measure, day, workflow_id, wait_type, step_id, handler, source, outcome, bucket) DO
UPDATE
SET count = waitctl_rollups.count + excluded.count, total = waitctl_rollups.total + excluded.total;
