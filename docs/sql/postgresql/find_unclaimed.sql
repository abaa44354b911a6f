-- find_unclaimed
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
ORDER BY workflow_wait_deliveries.id
LIMIT :limit::INTEGER;
