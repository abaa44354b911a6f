-- lock_waits
-- Lock the waits of deliveries, by id: before the deliveries change.

SELECT workflow_wait_executions.id
FROM workflow_wait_executions
WHERE workflow_wait_executions.id IN (
    SELECT workflow_wait_deliveries.wait_id
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.id IN (
        SELECT value
        FROM json_each(:ids)
    )
)
ORDER BY workflow_wait_executions.id;
