-- next_attempt_at
-- When one of these handlers may be handed something next.

SELECT min(anon_1.at) AS min_1
FROM (
    SELECT (
        SELECT workflow_wait_deliveries.next_attempt_at
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
          AND workflow_wait_deliveries.handler = names.name
          AND workflow_wait_deliveries.next_attempt_at > :now
        ORDER BY workflow_wait_deliveries.next_attempt_at
        LIMIT :param_2
        OFFSET :param_3
    ) AS at
    FROM (
        SELECT json_extract(value, '$."name"') AS name
        FROM json_each(:names)
    ) AS names
    UNION ALL
    SELECT (
        SELECT workflow_wait_deliveries.lease_expires_at
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'running'
          AND workflow_wait_deliveries.handler = names.name
          AND workflow_wait_deliveries.lease_expires_at > :now
        ORDER BY workflow_wait_deliveries.lease_expires_at
        LIMIT :param_5
        OFFSET :param_6
    ) AS at
    FROM (
        SELECT json_extract(value, '$."name"') AS name
        FROM json_each(:names)
    ) AS names
) AS anon_1;
