-- count_by_handler-running
-- By handler: how many deliveries are in a status.

WITH RECURSIVE handlers(handler) AS (
    SELECT (
        SELECT workflow_wait_deliveries.handler
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'running'
        ORDER BY workflow_wait_deliveries.handler
        LIMIT :param_3::INTEGER
    ) AS handler
    UNION ALL
    SELECT (
        SELECT workflow_wait_deliveries.handler
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'running'
          AND workflow_wait_deliveries.handler > handlers.handler
        ORDER BY workflow_wait_deliveries.handler
        LIMIT :param_3::INTEGER
    ) AS anon_3
    FROM handlers
    WHERE handlers.handler IS NOT NULL
)
SELECT handlers.handler, (
    SELECT count(*) AS count_1
    FROM (
        SELECT 1
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'running'
          AND workflow_wait_deliveries.handler = handlers.handler
        LIMIT 10001
    ) AS anon_2
) AS anon_1
FROM handlers
WHERE handlers.handler IS NOT NULL;
