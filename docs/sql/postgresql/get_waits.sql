-- get_waits
-- The waits with these ids.

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
WHERE workflow_wait_executions.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
