-- claimable_handlers
-- Those of these handlers that may be handed something now, and whether a lease of theirs ran out.

SELECT names.name, EXISTS (
    SELECT 1
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.handler = names.name
      AND workflow_wait_deliveries.status = 'running'
      AND workflow_wait_deliveries.lease_expires_at <= :now::TIMESTAMP WITH TIME ZONE
) AS has_lapsed
FROM jsonb_to_recordset(CAST(:names::VARCHAR AS JSONB)) AS names(name TEXT)
WHERE (EXISTS (
    SELECT 1
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.handler = names.name
      AND workflow_wait_deliveries.status = 'pending'
      AND workflow_wait_deliveries.next_attempt_at <= :now::TIMESTAMP WITH TIME ZONE
))
  OR (EXISTS (
    SELECT 1
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.handler = names.name
      AND workflow_wait_deliveries.status = 'running'
      AND workflow_wait_deliveries.lease_expires_at <= :now::TIMESTAMP WITH TIME ZONE
));
