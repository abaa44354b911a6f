-- count_open
-- The open waits by type and status.

SELECT workflow_wait_executions.wait_type, workflow_wait_executions.status, count(*) AS count_1
FROM workflow_wait_executions
WHERE workflow_wait_executions.status IN ('waiting', 'scheduled')
GROUP BY workflow_wait_executions.wait_type, workflow_wait_executions.status;
