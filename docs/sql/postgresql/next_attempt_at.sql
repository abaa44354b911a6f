-- next_attempt_at
-- When one of these handlers may be handed something next.

SELECT min(anon_1.at) AS min_1
FROM (
    SELECT (
        SELECT workflow_wait_deliveries.next_attempt_at
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
          AND workflow_wait_deliveries.handler = names.name
          AND workflow_wait_deliveries.next_attempt_at > :now::TIMESTAMP WITH TIME ZONE
        ORDER BY workflow_wait_deliveries.next_attempt_at
        LIMIT :param_2::INTEGER
    ) AS at
    FROM jsonb_to_recordset(CAST(:names::VARCHAR AS JSONB)) AS names(name TEXT)
    UNION ALL
    SELECT (
        SELECT workflow_wait_deliveries.lease_expires_at
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'running'
          AND workflow_wait_deliveries.handler = names.name
          AND workflow_wait_deliveries.lease_expires_at > :now::TIMESTAMP WITH TIME ZONE
        ORDER BY workflow_wait_deliveries.lease_expires_at
        LIMIT :param_4::INTEGER
    ) AS at
    FROM jsonb_to_recordset(CAST(:names::VARCHAR AS JSONB)) AS names(name TEXT)
) AS anon_1;
