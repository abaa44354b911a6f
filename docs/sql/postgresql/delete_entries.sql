-- delete_entries
-- Delete waits of a plan, some at once.

DELETE FROM workflow_wait_plan_entries
WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
  AND workflow_wait_plan_entries.wait_id IN (
    SELECT workflow_wait_plan_entries.wait_id
    FROM workflow_wait_plan_entries
    WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
    ORDER BY workflow_wait_plan_entries.wait_id
    LIMIT :limit::INTEGER
);
