-- newest_plans
-- The newest plans of bulk changes, for a shell to complete their ids.

SELECT workflow_wait_plans.id, workflow_wait_plans.kind, workflow_wait_plans.status
FROM workflow_wait_plans
ORDER BY workflow_wait_plans.id DESC
LIMIT 500
OFFSET :param_1;
