-- change_what_it_does
-- Give an open wait other handlers and another context.

UPDATE workflow_wait_executions
SET context=:given_context, handler=:given_handler, updated_at=:now, handlers=:given_handlers
WHERE workflow_wait_executions.id = :wait_id
  AND (workflow_wait_executions.status = 'waiting' OR workflow_wait_executions.status = 'scheduled');
