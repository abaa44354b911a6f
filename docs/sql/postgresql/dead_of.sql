-- dead_of
-- The dead deliveries of these waits.

SELECT workflow_wait_deliveries.id
FROM workflow_wait_deliveries
WHERE workflow_wait_deliveries.wait_id = ANY (CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
  AND workflow_wait_deliveries.status = 'dead';
