-- delete_plan
-- Delete a plan.

DELETE FROM workflow_wait_plans
WHERE workflow_wait_plans.id = :plan::UUID;
