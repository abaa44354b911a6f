-- note_skipped
-- Note why these waits of a batch were left as they are.

UPDATE workflow_wait_plan_entries
SET fate=:to_fate
WHERE workflow_wait_plan_entries.plan_id = :plan
  AND workflow_wait_plan_entries.wait_id > :beyond
  AND workflow_wait_plan_entries.wait_id <= :last
  AND workflow_wait_plan_entries.wait_id IN (
    SELECT value
    FROM json_each(:ids)
);
