-- claim_planned
-- The waits of a batch that nobody has touched, whatever is then done to them. Locks the waits by id.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
INSERT INTO waitctl_claimed (id, from_status)
SELECT workflow_wait_executions.id, workflow_wait_executions.status AS from_status
FROM workflow_wait_plan_entries
JOIN workflow_wait_executions ON workflow_wait_executions.id = workflow_wait_plan_entries.wait_id
WHERE workflow_wait_plan_entries.plan_id = :plan
  AND workflow_wait_plan_entries.wait_id > :beyond
  AND workflow_wait_plan_entries.wait_id <= :last
  AND workflow_wait_plan_entries.fate IS NULL
  AND workflow_wait_executions.updated_at = workflow_wait_plan_entries.seen_at
  AND NOT (EXISTS (
    SELECT *
    FROM workflow_wait_transitions
    WHERE workflow_wait_transitions.wait_id = workflow_wait_executions.id
      AND workflow_wait_transitions.id > workflow_wait_plan_entries.last_line
))
ORDER BY workflow_wait_executions.id;

-- noted
UPDATE workflow_wait_plan_entries
SET seen_at=:now, fate=:fate
WHERE workflow_wait_plan_entries.plan_id = :plan
  AND workflow_wait_plan_entries.wait_id > :beyond
  AND workflow_wait_plan_entries.wait_id <= :last
  AND workflow_wait_plan_entries.wait_id IN (
    SELECT waitctl_claimed.id
    FROM waitctl_claimed
);

-- told
SELECT waitctl_claimed.id
FROM waitctl_claimed;
