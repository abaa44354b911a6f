-- find_expired_plans
-- The plans that have expired, the oldest first. Locks them, past the locked ones.

SELECT workflow_wait_plans.id
FROM workflow_wait_plans
WHERE workflow_wait_plans.expires_at <= :now::TIMESTAMP WITH TIME ZONE
ORDER BY workflow_wait_plans.expires_at
LIMIT 1
FOR UPDATE SKIP LOCKED;
