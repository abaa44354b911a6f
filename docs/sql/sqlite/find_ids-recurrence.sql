-- find_ids-recurrence
-- Ids that begin or end with these digits.

SELECT workflow_recurrences.id
FROM workflow_recurrences
WHERE (replace(CAST(workflow_recurrences.id AS TEXT), '-', '') LIKE :fragment || '%')
  OR (replace(CAST(workflow_recurrences.id AS TEXT), '-', '') LIKE '%' || :fragment)
ORDER BY workflow_recurrences.id
LIMIT :limit
OFFSET :param_1;
