-- find_on_lease
-- The deliveries that are still on the lease that was taken.

SELECT workflow_wait_deliveries.id
FROM workflow_wait_deliveries
JOIN (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS claim
    FROM json_each(:taken)
) AS taken ON workflow_wait_deliveries.id = taken.id
  AND workflow_wait_deliveries.claims = taken.claim
  AND workflow_wait_deliveries.status = 'running';
