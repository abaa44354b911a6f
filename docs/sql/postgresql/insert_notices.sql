-- insert_notices
-- A delivery to its handler for each dead delivery that is to be told of, and is no such notice itself.

INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt,
    next_attempt_at, created_at, dead_delivery_id)
SELECT waitctl_uuidv7() AS new_id_1, workflow_wait_deliveries.wait_id, notices.handler,
    workflow_wait_deliveries.outcome, 'pending' AS anon_1, 0,
    :now::TIMESTAMP WITH TIME ZONE AS anon_2, :now::TIMESTAMP WITH TIME ZONE AS anon__1,
    workflow_wait_deliveries.id
FROM workflow_wait_deliveries
JOIN jsonb_to_recordset(CAST(:notices::VARCHAR AS JSONB)) AS notices(id UUID, handler TEXT)
    ON workflow_wait_deliveries.id = notices.id
WHERE workflow_wait_deliveries.dead_delivery_id IS NULL;
