-- first_turns
-- Since when the first delivery of each of these handlers waits, and since when its first lease is over.

SELECT names.name, (
    SELECT workflow_wait_deliveries.next_attempt_at
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.handler = names.name
      AND workflow_wait_deliveries.status = 'pending'
      AND workflow_wait_deliveries.next_attempt_at <= :now
      AND workflow_wait_deliveries.next_attempt_at >= names.waiting_low
    ORDER BY workflow_wait_deliveries.next_attempt_at
    LIMIT 1
    OFFSET :param_2
) AS waiting, (
    SELECT workflow_wait_deliveries.lease_expires_at
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.handler = names.name
      AND workflow_wait_deliveries.status = 'running'
      AND workflow_wait_deliveries.lease_expires_at <= :now
      AND workflow_wait_deliveries.lease_expires_at >= names.lapsed_low
    ORDER BY workflow_wait_deliveries.lease_expires_at
    LIMIT 1
    OFFSET :param_4
) AS lapsed
FROM (
    SELECT json_extract(value, '$."name"') AS name, substr(json_extract(value, '$."waiting_low"'),
        1, 26) AS waiting_low, substr(json_extract(value, '$."lapsed_low"'), 1, 26) AS lapsed_low
    FROM json_each(:names)
) AS names;
