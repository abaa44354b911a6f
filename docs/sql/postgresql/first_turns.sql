-- first_turns
-- Since when the first delivery of each of these handlers waits, and since when its first lease is over.

SELECT names.name, (
    SELECT workflow_wait_deliveries.next_attempt_at
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.handler = names.name
      AND workflow_wait_deliveries.status = 'pending'
      AND workflow_wait_deliveries.next_attempt_at <= :now::TIMESTAMP WITH TIME ZONE
      AND workflow_wait_deliveries.next_attempt_at >= names.waiting_low
    ORDER BY workflow_wait_deliveries.next_attempt_at
    LIMIT 1
) AS waiting, (
    SELECT workflow_wait_deliveries.lease_expires_at
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.handler = names.name
      AND workflow_wait_deliveries.status = 'running'
      AND workflow_wait_deliveries.lease_expires_at <= :now::TIMESTAMP WITH TIME ZONE
      AND workflow_wait_deliveries.lease_expires_at >= names.lapsed_low
    ORDER BY workflow_wait_deliveries.lease_expires_at
    LIMIT 1
) AS lapsed
FROM jsonb_to_recordset(CAST(:names::VARCHAR AS JSONB)) AS names(name TEXT,
    waiting_low TIMESTAMP WITH TIME ZONE, lapsed_low TIMESTAMP WITH TIME ZONE);
