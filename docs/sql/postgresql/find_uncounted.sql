-- find_uncounted
-- Waits that ended before a mark and are in no total yet.

SELECT waitctl_uncounted.wait_id
FROM waitctl_uncounted
JOIN workflow_wait_executions ON workflow_wait_executions.id = waitctl_uncounted.wait_id
WHERE workflow_wait_executions.resolved_at < :until::TIMESTAMP WITH TIME ZONE
LIMIT :limit::INTEGER;
