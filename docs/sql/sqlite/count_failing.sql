-- count_failing
-- By handler: how many of the pending deliveries have failed. It reads each of them.

WITH RECURSIVE handlers(handler) AS (
    SELECT (
        SELECT workflow_wait_deliveries.handler
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
        ORDER BY workflow_wait_deliveries.handler
        LIMIT :param_4
        OFFSET :param_5
    ) AS handler
    UNION ALL
    SELECT (
        SELECT workflow_wait_deliveries.handler
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
          AND workflow_wait_deliveries.handler > handlers.handler
        ORDER BY workflow_wait_deliveries.handler
        LIMIT :param_4
        OFFSET :param_6
    ) AS anon_2
    FROM handlers
    WHERE handlers.handler IS NOT NULL
)
SELECT handlers.handler, (
    SELECT count(pending.last_error) AS count_1
    FROM (
        SELECT workflow_wait_deliveries.last_error AS last_error
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
          AND workflow_wait_deliveries.handler = handlers.handler
        ORDER BY workflow_wait_deliveries.next_attempt_at
        LIMIT 10001
        OFFSET :param_2
    ) AS pending
) AS anon_1
FROM handlers
WHERE handlers.handler IS NOT NULL;
