-- get_plans-one
-- A plan by its id, or those that come next, the newest first.

SELECT workflow_wait_plans.id, workflow_wait_plans.kind, workflow_wait_plans.status,
    workflow_wait_plans.options, workflow_wait_plans.said_reason, workflow_wait_plans.created_by,
    workflow_wait_plans.created_at, workflow_wait_plans.expires_at, workflow_wait_plans.matched,
    workflow_wait_plans.run, workflow_wait_plans.lease_expires_at, workflow_wait_plans.applied_at,
    workflow_wait_plans.undone_at
FROM workflow_wait_plans
WHERE workflow_wait_plans.id = :plan::UUID;
