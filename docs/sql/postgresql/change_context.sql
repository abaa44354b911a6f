-- change_context
-- Give an open wait another context.

UPDATE workflow_wait_executions
SET context=:given_context::JSONB, updated_at=:now::TIMESTAMP WITH TIME ZONE
WHERE workflow_wait_executions.id = :wait_id::UUID
  AND (workflow_wait_executions.status = 'waiting' OR workflow_wait_executions.status = 'scheduled')
RETURNING workflow_wait_executions.id;
