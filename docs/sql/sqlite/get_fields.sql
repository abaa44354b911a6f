-- get_fields
-- These columns of the waits with these ids, as documents have them.

SELECT workflow_wait_executions.id, workflow_wait_executions.workflow_id,
    workflow_wait_executions.workflow_execution_id, workflow_wait_executions.step_id,
    workflow_wait_executions.contact_id, workflow_wait_executions.wait_type AS wait_type,
    workflow_wait_executions.status AS status, replace(workflow_wait_executions.scheduled_at, ' ',
    'T') || 'Z' AS scheduled_at, replace(workflow_wait_executions.timeout_at, ' ',
    'T') || 'Z' AS timeout_at, workflow_wait_executions.timezone,
    CAST(workflow_wait_executions.wait_config AS TEXT) AS wait_config,
    CAST(workflow_wait_executions.context AS TEXT) AS context, workflow_wait_executions.handler,
    CAST(workflow_wait_executions.handlers AS TEXT) AS handlers,
    CAST(workflow_wait_executions.command AS TEXT) AS command,
    workflow_wait_executions.idempotency_key, replace(workflow_wait_executions.created_at, ' ',
    'T') || 'Z' AS created_at, replace(workflow_wait_executions.updated_at, ' ',
    'T') || 'Z' AS updated_at, replace(workflow_wait_executions.resolved_at, ' ',
    'T') || 'Z' AS resolved_at, workflow_wait_executions.resolution AS resolution,
    workflow_wait_executions.resolution_event_id, workflow_wait_executions.late_seconds
FROM workflow_wait_executions
WHERE workflow_wait_executions.id IN (
    SELECT value
    FROM json_each(:ids)
);
