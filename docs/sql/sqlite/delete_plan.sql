-- delete_plan
-- Delete a plan that has no waits any more.

DELETE FROM workflow_wait_plans
WHERE workflow_wait_plans.id = :plan;
