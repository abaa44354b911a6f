-- find_ids-quarantined
-- Ids that begin or end with these digits.

SELECT workflow_event_quarantine.id
FROM workflow_event_quarantine
WHERE (replace(CAST(workflow_event_quarantine.id AS TEXT), '-', '') LIKE :fragment || '%')
  OR (replace(CAST(workflow_event_quarantine.id AS TEXT), '-', '') LIKE '%' || :fragment)
ORDER BY workflow_event_quarantine.id
LIMIT :limit
OFFSET :param_1;
