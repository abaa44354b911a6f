-- insert_wait
-- Insert a wait, unless its step or its idempotency key is taken.

INSERT INTO workflow_wait_executions (id, workflow_id, workflow_execution_id, step_id, contact_id,
    wait_type, status, scheduled_at, timeout_at, timezone, wait_config, context, handler,
    idempotency_key, created_at, updated_at, resolved_at, resolution, resolution_event_id,
    late_seconds, late_policy, handlers, command)
VALUES (:id::UUID, :workflow_id::VARCHAR, :workflow_execution_id::VARCHAR, :step_id::VARCHAR,
    :contact_id::VARCHAR, :wait_type, :status, :scheduled_at::TIMESTAMP WITH TIME ZONE,
    :timeout_at::TIMESTAMP WITH TIME ZONE, :timezone::VARCHAR, :wait_config::JSONB, :context::JSONB,
    :handler::VARCHAR, :idempotency_key::VARCHAR, :created_at::TIMESTAMP WITH TIME ZONE,
    :updated_at::TIMESTAMP WITH TIME ZONE, :resolved_at::TIMESTAMP WITH TIME ZONE, :resolution,
    :resolution_event_id::UUID, :late_seconds::BIGINT, :late_policy::VARCHAR, :handlers::JSONB,
    :command::JSONB)
ON CONFLICT DO NOTHING
RETURNING workflow_wait_executions.id;
