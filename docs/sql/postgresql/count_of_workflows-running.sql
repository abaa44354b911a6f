-- count_of_workflows-running
-- How many deliveries to a handler are in a status and of one of these workflows.

SELECT (
    SELECT count(*) AS count_1
    FROM (
        SELECT 1
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'running'
          AND workflow_wait_deliveries.handler = :of_handler::VARCHAR
          AND (EXISTS (
            SELECT *
            FROM workflow_wait_executions
            WHERE workflow_wait_executions.id = workflow_wait_deliveries.wait_id
              AND workflow_wait_executions.workflow_id IN ('billing')
        ))
        ORDER BY workflow_wait_deliveries.lease_expires_at
        LIMIT 10001
    ) AS anon_2
) AS anon_1;
