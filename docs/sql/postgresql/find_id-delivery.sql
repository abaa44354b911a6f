-- find_id-delivery
-- The id, if there is one.

SELECT workflow_wait_deliveries.id
FROM workflow_wait_deliveries
WHERE workflow_wait_deliveries.id = :id::UUID;
