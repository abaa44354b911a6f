-- look_at_entries
-- How the waits of a batch are that nothing was done to.

SELECT workflow_wait_plan_entries.wait_id, workflow_wait_executions.status,
    workflow_wait_executions.updated_at = workflow_wait_plan_entries.seen_at
  AND NOT (EXISTS (
    SELECT *
    FROM workflow_wait_transitions
    WHERE workflow_wait_transitions.wait_id = workflow_wait_executions.id
      AND workflow_wait_transitions.id > workflow_wait_plan_entries.last_line
)) AS is_unchanged, EXISTS (
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
  AND workflow_wait_plan_entries.wait_id > :beyond
  AND workflow_wait_plan_entries.wait_id <= :last
  AND workflow_wait_plan_entries.fate IS NULL;
