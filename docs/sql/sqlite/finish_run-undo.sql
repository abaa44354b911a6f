-- finish_run-undo
-- A plan has been applied, or undone.

UPDATE workflow_wait_plans
SET status=:status, lease_expires_at=NULL, undone_at=:now
WHERE workflow_wait_plans.id = :plan
  AND workflow_wait_plans.run = :own_run;
