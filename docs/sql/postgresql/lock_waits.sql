-- lock_waits
-- Lock the waits of deliveries, by id: before the deliveries change.

SELECT workflow_wait_executions.id
FROM workflow_wait_executions
WHERE workflow_wait_executions.id IN (
    SELECT workflow_wait_deliveries.wait_id
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.id = ANY (ARRAY(
        SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
    ))
)
ORDER BY workflow_wait_executions.id
FOR UPDATE;
