-- insert_notices
-- A delivery to its handler for each dead delivery that is to be told of, and is no such notice itself.

INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt,
    next_attempt_at, created_at, dead_delivery_id)
SELECT printf('%08x-%04x-7%03x-%04x-%012x',
    CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
    CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535, abs(random() % 4096),
    32768 + abs(random() % 16384), abs(random() % 281474976710656)) AS new_id_1,
    workflow_wait_deliveries.wait_id, notices.handler, workflow_wait_deliveries.outcome,
    'pending' AS anon_1, 0, :now AS anon_2, :now AS anon__1, workflow_wait_deliveries.id
FROM workflow_wait_deliveries
JOIN (
    SELECT json_extract(value, '$."id"') AS id, json_extract(value, '$."handler"') AS handler
    FROM json_each(:notices)
) AS notices ON workflow_wait_deliveries.id = notices.id
WHERE workflow_wait_deliveries.dead_delivery_id IS NULL;
