-- orphans
-- Unsettled deliveries whose wait is gone, and active listeners whose wait has ended.

SELECT (
    SELECT count(*) AS count_1
    FROM (
        SELECT 1
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status IN ('pending', 'running')
          AND NOT (EXISTS (
            SELECT *
            FROM workflow_wait_executions
            WHERE workflow_wait_executions.id = workflow_wait_deliveries.wait_id
        ))
        LIMIT 10001
    ) AS anon_2
) AS anon_1, (
    SELECT count(*) AS count_2
    FROM (
        SELECT 1
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.status = 'active'
          AND NOT (EXISTS (
            SELECT *
            FROM workflow_wait_executions
            WHERE workflow_wait_executions.id = workflow_event_listeners.wait_id
              AND workflow_wait_executions.status IN ('waiting', 'scheduled')
        ))
        LIMIT 10001
    ) AS anon_4
) AS anon_3;
