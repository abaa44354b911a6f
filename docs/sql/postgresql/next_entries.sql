-- next_entries
-- The waits of a plan that nothing has become of yet, by id, beyond one.

SELECT workflow_wait_plan_entries.wait_id, workflow_wait_plan_entries.from_status
FROM workflow_wait_plan_entries
WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
  AND workflow_wait_plan_entries.wait_id > :beyond::UUID
  AND workflow_wait_plan_entries.fate IS NULL
ORDER BY workflow_wait_plan_entries.wait_id
LIMIT :limit::INTEGER;
