-- seen_at_of
-- When a plan last saw, or changed, the waits of a batch.

SELECT workflow_wait_plan_entries.wait_id, workflow_wait_plan_entries.seen_at
FROM workflow_wait_plan_entries
WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
  AND workflow_wait_plan_entries.wait_id > :beyond::UUID
  AND workflow_wait_plan_entries.wait_id <= :last::UUID;
