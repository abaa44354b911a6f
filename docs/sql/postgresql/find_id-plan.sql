-- find_id-plan
-- The id, if there is one.

SELECT workflow_wait_plans.id
FROM workflow_wait_plans
WHERE workflow_wait_plans.id = :id::UUID;
