-- list_waits
-- Waits, newest first; here the overdue ones of a workflow.

SELECT workflow_wait_executions.id, workflow_wait_executions.workflow_id,
    workflow_wait_executions.workflow_execution_id, workflow_wait_executions.step_id,
    workflow_wait_executions.contact_id, workflow_wait_executions.wait_type,
    workflow_wait_executions.status, workflow_wait_executions.scheduled_at,
    workflow_wait_executions.timeout_at, workflow_wait_executions.timezone,
    workflow_wait_executions.wait_config, workflow_wait_executions.context,
    workflow_wait_executions.handler, workflow_wait_executions.idempotency_key,
    workflow_wait_executions.created_at, workflow_wait_executions.updated_at,
    workflow_wait_executions.resolved_at, workflow_wait_executions.resolution,
    workflow_wait_executions.resolution_event_id, workflow_wait_executions.late_seconds,
    workflow_wait_executions.late_policy, workflow_wait_executions.handlers,
    workflow_wait_executions.command
FROM workflow_wait_executions
WHERE workflow_wait_executions.workflow_id = :workflow_id_1::VARCHAR
  AND workflow_wait_executions.status IN ('waiting')
  AND workflow_wait_executions.status IN ('waiting', 'scheduled')
  AND CASE WHEN (workflow_wait_executions.status = 'scheduled')
      THEN workflow_wait_executions.scheduled_at ELSE (
    SELECT min(workflow_event_listeners.expires_at) AS min_1
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.wait_id = workflow_wait_executions.id
        AND workflow_event_listeners.status = 'active'
) END <= :param_6::TIMESTAMP WITH TIME ZONE
ORDER BY workflow_wait_executions.id DESC
LIMIT :param_7::INTEGER;
