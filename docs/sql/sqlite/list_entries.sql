-- list_entries
-- Waits of a plan by id, beyond one.

SELECT workflow_wait_plan_entries.wait_id, workflow_wait_executions.workflow_execution_id,
    workflow_wait_executions.step_id, workflow_wait_plan_entries.from_status,
    workflow_wait_plan_entries.due_before, workflow_wait_plan_entries.due_after,
    workflow_wait_plan_entries.fate, workflow_wait_plan_entries.undone_fate,
    workflow_wait_plan_entries.note
FROM workflow_wait_plan_entries
LEFT OUTER JOIN workflow_wait_executions
    ON workflow_wait_executions.id = workflow_wait_plan_entries.wait_id
WHERE workflow_wait_plan_entries.plan_id = :plan
  AND workflow_wait_plan_entries.wait_id > :beyond
ORDER BY workflow_wait_plan_entries.wait_id
LIMIT :limit
OFFSET :param_1;
