-- claimable_handlers
-- Those of these handlers that may be handed something now, and whether a lease of theirs ran out.

SELECT names.name, EXISTS (
    SELECT 1
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.handler = names.name
      AND workflow_wait_deliveries.status = 'running'
      AND workflow_wait_deliveries.lease_expires_at <= :now
) AS has_lapsed
FROM (
    SELECT json_extract(value, '$."name"') AS name
    FROM json_each(:names)
) AS names
WHERE (EXISTS (
    SELECT 1
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.handler = names.name
      AND workflow_wait_deliveries.status = 'pending'
      AND workflow_wait_deliveries.next_attempt_at <= :now
))
  OR (EXISTS (
    SELECT 1
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.handler = names.name
      AND workflow_wait_deliveries.status = 'running'
      AND workflow_wait_deliveries.lease_expires_at <= :now
));
