-- insert_wait
-- Insert a wait, unless its step or its idempotency key is taken.

INSERT INTO workflow_wait_executions (id, workflow_id, workflow_execution_id, step_id, contact_id,
    wait_type, status, scheduled_at, timeout_at, timezone, wait_config, context, handler,
    idempotency_key, created_at, updated_at, resolved_at, resolution, resolution_event_id,
    late_seconds, late_policy, handlers, command)
VALUES (:id, :workflow_id, :workflow_execution_id, :step_id, :contact_id, :wait_type, :status,
    :scheduled_at, :timeout_at, :timezone, :wait_config, :context, :handler, :idempotency_key,
    :created_at, :updated_at, :resolved_at, :resolution, :resolution_event_id, :late_seconds,
    :late_policy, :handlers, :command)
ON CONFLICT DO NOTHING
RETURNING id;
