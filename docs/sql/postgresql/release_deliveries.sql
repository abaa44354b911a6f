-- release_deliveries
-- Give deliveries back that are still on the lease that was taken.

UPDATE workflow_wait_deliveries
SET status='pending', attempt=(workflow_wait_deliveries.attempt - :counted::INTEGER),
    max_attempts=CASE WHEN (workflow_wait_deliveries.attempt - :counted::INTEGER > 0)
    THEN workflow_wait_deliveries.max_attempts END, lease_expires_at=NULL
FROM (
    SELECT CAST(split.value[1] AS UUID) AS id, CAST(split.value[2] AS INTEGER) AS claim
    FROM (
        SELECT string_to_array(line, E'\t', E'\x02') AS value
        FROM unnest(string_to_array(:taken::VARCHAR, E'\n')) AS line
        OFFSET 0
    ) AS split
) AS taken
WHERE workflow_wait_deliveries.id = taken.id
  AND workflow_wait_deliveries.claims = taken.claim
  AND workflow_wait_deliveries.status = 'running';
