-- take_ended
-- The active recurrences that are due and whose open wait has ended. Locks them by id.

SELECT workflow_recurrences.id, workflow_recurrences.workflow_id,
    workflow_recurrences.workflow_execution_id, workflow_recurrences.step_id,
    workflow_recurrences.contact_id, workflow_recurrences.rule, workflow_recurrences.rules,
    workflow_recurrences.timezone, workflow_recurrences.context, workflow_recurrences.handler,
    workflow_recurrences.handlers, workflow_recurrences.stop_on, workflow_recurrences.status,
    workflow_recurrences.status_reason, workflow_recurrences.created_by,
    workflow_recurrences.occurrence, workflow_recurrences.anchor_at, workflow_recurrences.next_at,
    workflow_recurrences.wait_id, workflow_recurrences.stop_wait_id,
    workflow_recurrences.created_at, workflow_recurrences.updated_at,
    workflow_wait_executions.scheduled_at, workflow_wait_executions.resolved_at,
    workflow_wait_executions.resolution, workflow_wait_executions.timezone AS timezone_1,
    workflow_wait_executions.wait_config
FROM workflow_recurrences
JOIN workflow_wait_executions ON workflow_wait_executions.id = workflow_recurrences.wait_id
WHERE workflow_recurrences.status = 'active'
  AND workflow_recurrences.next_at <= :now
  AND workflow_wait_executions.resolved_at IS NOT NULL
ORDER BY workflow_recurrences.id;
