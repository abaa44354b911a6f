-- look_at_entries
-- How these waits of a plan are now.

SELECT workflow_wait_plan_entries.wait_id, workflow_wait_executions.status,
    workflow_wait_executions.updated_at = workflow_wait_plan_entries.seen_at
  AND coalesce((
    SELECT max(workflow_wait_transitions.id) AS max_1
    FROM workflow_wait_transitions
    WHERE workflow_wait_transitions.wait_id = workflow_wait_executions.id
), 0) = workflow_wait_plan_entries.last_line AS is_unchanged, EXISTS (
    SELECT *
    FROM workflow_wait_executions AS other
    WHERE other.workflow_execution_id = workflow_wait_executions.workflow_execution_id
      AND other.step_id = workflow_wait_executions.step_id
      AND other.status IN ('waiting', 'scheduled')
      AND other.id != workflow_wait_executions.id
) AS is_taken
FROM workflow_wait_plan_entries
LEFT OUTER JOIN workflow_wait_executions
    ON workflow_wait_executions.id = workflow_wait_plan_entries.wait_id
WHERE workflow_wait_plan_entries.plan_id = :plan
  AND workflow_wait_plan_entries.wait_id IN (
    SELECT value
    FROM json_each(:ids)
);
