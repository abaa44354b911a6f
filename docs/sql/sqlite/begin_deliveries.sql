-- begin_deliveries
-- Count an attempt of deliveries that are still on the lease that was taken.

UPDATE workflow_wait_deliveries
SET attempt=(workflow_wait_deliveries.attempt + 1)
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS claim
    FROM json_each(:taken)
) AS taken
WHERE workflow_wait_deliveries.id = taken.id
  AND workflow_wait_deliveries.claims = taken.claim
  AND workflow_wait_deliveries.status = 'running'
RETURNING id;
