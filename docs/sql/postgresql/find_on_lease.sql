-- find_on_lease
-- The deliveries that are still on the lease that was taken.

SELECT workflow_wait_deliveries.id
FROM workflow_wait_deliveries
JOIN (
    SELECT CAST(split.value[1] AS UUID) AS id, CAST(split.value[2] AS INTEGER) AS claim
    FROM (
        SELECT string_to_array(line, E'\t', E'\x02') AS value
        FROM unnest(string_to_array(:taken::VARCHAR, E'\n')) AS line
        OFFSET 0
    ) AS split
) AS taken ON workflow_wait_deliveries.id = taken.id
  AND workflow_wait_deliveries.claims = taken.claim
  AND workflow_wait_deliveries.status = 'running';
