-- find_ids-plan
-- Ids that begin or end with these digits.

SELECT workflow_wait_plans.id
FROM workflow_wait_plans
WHERE (replace(CAST(workflow_wait_plans.id AS TEXT), '-', '') LIKE :fragment || '%')
  OR (replace(CAST(workflow_wait_plans.id AS TEXT), '-', '') LIKE '%' || :fragment)
ORDER BY workflow_wait_plans.id
LIMIT :limit
OFFSET :param_1;
