-- get_fields
-- These columns of the waits with these ids, as documents have them.

SELECT workflow_wait_executions.id, workflow_wait_executions.workflow_id,
    workflow_wait_executions.workflow_execution_id, workflow_wait_executions.step_id,
    workflow_wait_executions.contact_id, workflow_wait_executions.wait_type AS wait_type,
    workflow_wait_executions.status AS status, to_char(timezone('UTC',
    workflow_wait_executions.scheduled_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS scheduled_at,
    to_char(timezone('UTC', workflow_wait_executions.timeout_at),
    'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timeout_at, workflow_wait_executions.timezone,
    CAST(workflow_wait_executions.wait_config AS TEXT) AS wait_config,
    CAST(workflow_wait_executions.context AS TEXT) AS context, workflow_wait_executions.handler,
    CAST(workflow_wait_executions.handlers AS TEXT) AS handlers,
    CAST(workflow_wait_executions.command AS TEXT) AS command,
    workflow_wait_executions.idempotency_key, to_char(timezone('UTC',
    workflow_wait_executions.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
    to_char(timezone('UTC', workflow_wait_executions.updated_at),
    'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at, to_char(timezone('UTC',
    workflow_wait_executions.resolved_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS resolved_at,
    workflow_wait_executions.resolution AS resolution, workflow_wait_executions.resolution_event_id,
    workflow_wait_executions.late_seconds
FROM workflow_wait_executions
WHERE workflow_wait_executions.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
