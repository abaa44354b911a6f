-- change_context
-- Give an open wait another context.

UPDATE workflow_wait_executions
SET context=:given_context, updated_at=:now
WHERE workflow_wait_executions.id = :wait_id
  AND (workflow_wait_executions.status = 'waiting' OR workflow_wait_executions.status = 'scheduled')
RETURNING id;
