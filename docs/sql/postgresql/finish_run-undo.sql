-- finish_run-undo
-- A plan has been applied, or undone.

UPDATE workflow_wait_plans
SET status=:status::VARCHAR, lease_expires_at=NULL, undone_at=:now::TIMESTAMP WITH TIME ZONE
WHERE workflow_wait_plans.id = :plan::UUID
  AND workflow_wait_plans.run = :own_run::INTEGER;
