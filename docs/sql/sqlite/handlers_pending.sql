-- handlers_pending
-- The handlers that have a delivery pending.

WITH RECURSIVE handlers(handler) AS (
    SELECT (
        SELECT workflow_wait_deliveries.handler
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
        ORDER BY workflow_wait_deliveries.handler
        LIMIT :param_2
        OFFSET :param_3
    ) AS handler
    UNION ALL
    SELECT (
        SELECT workflow_wait_deliveries.handler
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
          AND workflow_wait_deliveries.handler > handlers.handler
        ORDER BY workflow_wait_deliveries.handler
        LIMIT :param_2
        OFFSET :param_4
    ) AS anon_1
    FROM handlers
    WHERE handlers.handler IS NOT NULL
)
SELECT handlers.handler
FROM handlers
WHERE handlers.handler IS NOT NULL;
