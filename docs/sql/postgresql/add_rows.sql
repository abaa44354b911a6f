-- add_rows
-- Add what a tick has counted itself to the totals, sorted by key: the order in which rows are locked.

INSERT INTO waitctl_rollups (measure, day, workflow_id, wait_type, step_id, handler, source,
    outcome, bucket, count, total)
SELECT given.measure, given.day, given.workflow_id, given.wait_type, given.step_id, given.handler,
    given.source, given.outcome, given.bucket, given.count, given.total
FROM jsonb_to_recordset(CAST(:given::VARCHAR AS JSONB)) AS given(measure TEXT, day TEXT,
    workflow_id TEXT, wait_type TEXT, step_id TEXT, handler TEXT, source TEXT, outcome TEXT,
    bucket BIGINT, count BIGINT, total BIGINT)
WHERE true
ON CONFLICT (measure, day, workflow_id, wait_type, step_id, handler, source, outcome, bucket) DO
UPDATE
SET count = waitctl_rollups.count + excluded.count, total = waitctl_rollups.total + excluded.total;
