-- change_what_it_does
-- Give an open wait other handlers and another context.

UPDATE workflow_wait_executions
SET context=:given_context::JSONB, handler=:given_handler::VARCHAR,
    updated_at=:now::TIMESTAMP WITH TIME ZONE, handlers=:given_handlers::JSONB
WHERE workflow_wait_executions.id = :wait_id::UUID
  AND (workflow_wait_executions.status = 'waiting' OR workflow_wait_executions.status = 'scheduled');
