-- find_ids-delivery
-- Ids that begin or end with these digits.

SELECT workflow_wait_deliveries.id
FROM workflow_wait_deliveries
WHERE (replace(CAST(workflow_wait_deliveries.id AS TEXT), '-', '') LIKE :fragment::VARCHAR || '%')
  OR (replace(CAST(workflow_wait_deliveries.id AS TEXT), '-', '') LIKE '%' || :fragment::VARCHAR)
ORDER BY workflow_wait_deliveries.id
LIMIT :limit::INTEGER;
