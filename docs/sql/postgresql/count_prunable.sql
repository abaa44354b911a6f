-- count_prunable
-- How many waits ended long ago, and how many deliveries and lines of audit trails are theirs.

SELECT (
    SELECT count(*) AS count_1
    FROM (
        SELECT workflow_wait_executions.id AS id,
            workflow_wait_executions.resolved_at AS resolved_at,
            workflow_wait_executions.idempotency_key IS NOT NULL AS anon_2,
            workflow_wait_executions.status = 'error' AS anon_3
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.resolved_at >= :after::TIMESTAMP WITH TIME ZONE
          AND workflow_wait_executions.resolved_at < :before::TIMESTAMP WITH TIME ZONE
          AND NOT coalesce((
            SELECT true AS anon_4
            FROM workflow_wait_deliveries
            WHERE workflow_wait_deliveries.wait_id = workflow_wait_executions.id
              AND workflow_wait_deliveries.status IN ('pending', 'running')
            LIMIT 1
        ), false)
    ) AS ended
) AS anon_1, (
    SELECT count(*) AS count_2
    FROM workflow_wait_deliveries
    JOIN (
        SELECT workflow_wait_executions.id AS id,
            workflow_wait_executions.resolved_at AS resolved_at,
            workflow_wait_executions.idempotency_key IS NOT NULL AS anon_2,
            workflow_wait_executions.status = 'error' AS anon_3
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.resolved_at >= :after::TIMESTAMP WITH TIME ZONE
          AND workflow_wait_executions.resolved_at < :before::TIMESTAMP WITH TIME ZONE
          AND NOT coalesce((
            SELECT true AS anon_4
            FROM workflow_wait_deliveries
            WHERE workflow_wait_deliveries.wait_id = workflow_wait_executions.id
              AND workflow_wait_deliveries.status IN ('pending', 'running')
            LIMIT 1
        ), false)
    ) AS ended ON ended.id = workflow_wait_deliveries.wait_id
) AS anon_5, (
    SELECT count(*) AS count_3
    FROM workflow_wait_transitions
    JOIN (
        SELECT workflow_wait_executions.id AS id,
            workflow_wait_executions.resolved_at AS resolved_at,
            workflow_wait_executions.idempotency_key IS NOT NULL AS anon_2,
            workflow_wait_executions.status = 'error' AS anon_3
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.resolved_at >= :after::TIMESTAMP WITH TIME ZONE
          AND workflow_wait_executions.resolved_at < :before::TIMESTAMP WITH TIME ZONE
          AND NOT coalesce((
            SELECT true AS anon_4
            FROM workflow_wait_deliveries
            WHERE workflow_wait_deliveries.wait_id = workflow_wait_executions.id
              AND workflow_wait_deliveries.status IN ('pending', 'running')
            LIMIT 1
        ), false)
    ) AS ended ON ended.id = workflow_wait_transitions.wait_id
) AS anon_6;
