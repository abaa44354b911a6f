-- dead_of
-- The dead deliveries of these waits.

SELECT workflow_wait_deliveries.id
FROM workflow_wait_deliveries
WHERE workflow_wait_deliveries.wait_id IN (
    SELECT value
    FROM json_each(:ids)
)
  AND workflow_wait_deliveries.status = 'dead';
