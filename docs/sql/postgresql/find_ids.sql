-- find_ids
-- Ids that begin or end with these digits.

SELECT workflow_wait_executions.id
FROM workflow_wait_executions
WHERE (replace(CAST(workflow_wait_executions.id AS TEXT), '-', '') LIKE :fragment::VARCHAR || '%')
  OR (replace(CAST(workflow_wait_executions.id AS TEXT), '-', '') LIKE '%' || :fragment::VARCHAR)
ORDER BY workflow_wait_executions.id
LIMIT :limit::INTEGER;
