-- analytics-type
-- What the totals hold of the days, or of the months, from one on and before another.

SELECT waitctl_rollups.measure, waitctl_rollups.outcome, waitctl_rollups.bucket,
    CAST(sum(waitctl_rollups.count) AS INTEGER) AS sum_1,
    CAST(sum(waitctl_rollups.total) AS INTEGER) AS sum_2, waitctl_rollups.wait_type
FROM waitctl_rollups
WHERE waitctl_rollups.measure IN ('ended', 'late', 'to_event', 'attempt')
  AND waitctl_rollups.day >= :low
  AND waitctl_rollups.day < :high
  AND waitctl_rollups.wait_type IN (
    SELECT types.name
    FROM (
        SELECT json_extract(value, '$."name"') AS name
        FROM json_each(:types)
    ) AS types
)
  AND (:of_workflow_id IS NULL OR waitctl_rollups.workflow_id = :of_workflow_id)
  AND (:of_step_id IS NULL OR waitctl_rollups.step_id = :of_step_id)
  AND (:of_handler IS NULL OR waitctl_rollups.handler = :of_handler)
GROUP BY waitctl_rollups.measure, waitctl_rollups.outcome, waitctl_rollups.bucket,
    waitctl_rollups.wait_type HAVING CAST(sum(waitctl_rollups.count) AS INTEGER) != 0;
