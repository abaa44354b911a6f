-- analytics-handler
-- What the totals hold of the days, or of the months, from one on and before another.

SELECT waitctl_rollups.measure, waitctl_rollups.outcome, waitctl_rollups.bucket,
    CAST(sum(waitctl_rollups.count) AS BIGINT) AS sum_1,
    CAST(sum(waitctl_rollups.total) AS BIGINT) AS sum_2, waitctl_rollups.handler
FROM waitctl_rollups
WHERE waitctl_rollups.measure IN ('ended', 'late', 'to_event', 'attempt')
  AND waitctl_rollups.day >= :low::VARCHAR
  AND waitctl_rollups.day < :high::VARCHAR
  AND waitctl_rollups.wait_type IN (
    SELECT types.name
    FROM jsonb_to_recordset(CAST(:types::VARCHAR AS JSONB)) AS types(name TEXT)
)
  AND (:of_workflow_id::VARCHAR IS NULL OR waitctl_rollups.workflow_id = :of_workflow_id::VARCHAR)
  AND (:of_step_id::VARCHAR IS NULL OR waitctl_rollups.step_id = :of_step_id::VARCHAR)
  AND (:of_handler::VARCHAR IS NULL OR waitctl_rollups.handler = :of_handler::VARCHAR)
GROUP BY waitctl_rollups.measure, waitctl_rollups.outcome, waitctl_rollups.bucket,
    waitctl_rollups.handler HAVING CAST(sum(waitctl_rollups.count) AS BIGINT) != 0;
