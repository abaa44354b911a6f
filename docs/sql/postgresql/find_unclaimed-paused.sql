-- find_unclaimed-paused
-- Deliveries that have waited since an instant for none of these handlers, the oldest first.

SELECT workflow_wait_deliveries.id, workflow_wait_deliveries.handler
FROM workflow_wait_deliveries
WHERE workflow_wait_deliveries.status = 'pending'
  AND (workflow_wait_deliveries.handler NOT IN (
    SELECT names.name
    FROM jsonb_to_recordset(CAST(:names::VARCHAR AS JSONB)) AS names(name TEXT)
))
  AND workflow_wait_deliveries.created_at <= :before::TIMESTAMP WITH TIME ZONE
  AND workflow_wait_deliveries.next_attempt_at <= :before::TIMESTAMP WITH TIME ZONE
  AND NOT (EXISTS (
    SELECT *
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.id = workflow_wait_deliveries.wait_id
      AND workflow_wait_executions.workflow_id IN ('billing')
))
ORDER BY workflow_wait_deliveries.id
LIMIT :limit::INTEGER;
