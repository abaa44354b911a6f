-- begin_run
-- Somebody begins to work at a plan, and keeps others off for a while.

UPDATE workflow_wait_plans
SET status=:to_status, run=(workflow_wait_plans.run + 1), lease_expires_at=:until
WHERE workflow_wait_plans.id = :plan;
