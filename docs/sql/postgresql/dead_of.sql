-- dead_of
-- The dead deliveries of these waits.

SELECT workflow_wait_deliveries.id
FROM workflow_wait_deliveries
WHERE workflow_wait_deliveries.wait_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
  AND workflow_wait_deliveries.status = 'dead';
