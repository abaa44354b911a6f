-- find_ids-event
-- Ids that begin or end with these digits.

SELECT workflow_events.id
FROM workflow_events
WHERE (replace(CAST(workflow_events.id AS TEXT), '-', '') LIKE :fragment::VARCHAR || '%')
  OR (replace(CAST(workflow_events.id AS TEXT), '-', '') LIKE '%' || :fragment::VARCHAR)
ORDER BY workflow_events.id
LIMIT :limit::INTEGER;
