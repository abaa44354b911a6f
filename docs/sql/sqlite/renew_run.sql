-- renew_run
-- Whoever works at a plan goes on, unless somebody else has taken it over. Locks the plan.

UPDATE workflow_wait_plans
SET lease_expires_at=:until
WHERE workflow_wait_plans.id = :plan
  AND workflow_wait_plans.run = :own_run
RETURNING id;
