-- find_id
-- The id, if there is one.

SELECT workflow_wait_executions.id
FROM workflow_wait_executions
WHERE workflow_wait_executions.id = :id;
