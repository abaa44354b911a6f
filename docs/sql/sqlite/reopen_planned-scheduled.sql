-- reopen_planned-scheduled
-- Open those of these waits of a plan again that it has cancelled, whom nobody has touched, and whose step is free.
--
-- Locks the waits by id, then their listeners. Their topics are locked.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
INSERT INTO waitctl_claimed (id, from_status)
SELECT workflow_wait_executions.id, workflow_wait_executions.status AS from_status
FROM workflow_wait_executions
JOIN workflow_wait_plan_entries ON workflow_wait_plan_entries.plan_id = :plan
  AND workflow_wait_plan_entries.wait_id = workflow_wait_executions.id
WHERE workflow_wait_executions.id IN (
    SELECT value
    FROM json_each(:ids)
)
  AND workflow_wait_executions.updated_at = workflow_wait_plan_entries.seen_at
  AND coalesce((
    SELECT max(workflow_wait_transitions.id) AS max_1
    FROM workflow_wait_transitions
    WHERE workflow_wait_transitions.wait_id = workflow_wait_executions.id
), 0) = workflow_wait_plan_entries.last_line
  AND workflow_wait_executions.status = 'cancelled'
  AND workflow_wait_plan_entries.from_status = 'scheduled'
  AND NOT (EXISTS (
    SELECT *
    FROM workflow_wait_executions AS other
    WHERE other.workflow_execution_id = workflow_wait_executions.workflow_execution_id
      AND other.step_id = workflow_wait_executions.step_id
      AND other.status IN ('waiting', 'scheduled')
      AND other.id != workflow_wait_executions.id
))
ORDER BY workflow_wait_executions.id;

-- reopened
UPDATE workflow_wait_executions
SET status='scheduled', updated_at=:now, resolved_at=NULL, resolution=NULL
FROM waitctl_claimed
WHERE workflow_wait_executions.id = waitctl_claimed.id
  AND workflow_wait_executions.status = 'cancelled';

-- audited
INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data, id)
SELECT waitctl_claimed.id, :now AS anon_1, waitctl_claimed.from_status, 'scheduled' AS anon_2,
    :reason AS anon_3, :actor AS anon_4, :data AS anon_5, (
    SELECT coalesce(max(rowid), 0) AS coalesce_1
    FROM workflow_wait_transitions
) + row_number() OVER () AS id
FROM waitctl_claimed;

-- told
SELECT waitctl_claimed.id
FROM waitctl_claimed;
