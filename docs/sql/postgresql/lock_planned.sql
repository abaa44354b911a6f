-- lock_planned
-- Those of these waits of a plan that nobody has touched. Locks the waits by id.

SELECT workflow_wait_executions.id
FROM workflow_wait_executions
JOIN workflow_wait_plan_entries ON workflow_wait_plan_entries.plan_id = :plan::UUID
  AND workflow_wait_plan_entries.wait_id = workflow_wait_executions.id
WHERE workflow_wait_executions.id = ANY (CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
  AND workflow_wait_executions.updated_at = workflow_wait_plan_entries.seen_at
  AND coalesce((
    SELECT max(workflow_wait_transitions.id) AS max_1
    FROM workflow_wait_transitions
    WHERE workflow_wait_transitions.wait_id = workflow_wait_executions.id
), 0) = workflow_wait_plan_entries.last_line
ORDER BY workflow_wait_executions.id
FOR UPDATE OF workflow_wait_executions;
