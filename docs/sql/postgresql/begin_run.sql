-- begin_run
-- Somebody begins to work at a plan, and keeps others off for a while.

UPDATE workflow_wait_plans
SET status=:to_status::VARCHAR, run=(workflow_wait_plans.run + 1),
    lease_expires_at=:until::TIMESTAMP WITH TIME ZONE
WHERE workflow_wait_plans.id = :plan::UUID;
