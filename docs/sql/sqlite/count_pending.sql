-- count_pending
-- By handler: how many deliveries are pending, how many of them are due, since when. Read from an index alone.

WITH RECURSIVE handlers(handler) AS (
    SELECT (
        SELECT workflow_wait_deliveries.handler
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
        ORDER BY workflow_wait_deliveries.handler
        LIMIT :param_9
        OFFSET :param_10
    ) AS handler
    UNION ALL
    SELECT (
        SELECT workflow_wait_deliveries.handler
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
          AND workflow_wait_deliveries.handler > handlers.handler
        ORDER BY workflow_wait_deliveries.handler
        LIMIT :param_9
        OFFSET :param_11
    ) AS anon_6
    FROM handlers
    WHERE handlers.handler IS NOT NULL
)
SELECT handlers.handler, (
    SELECT count(*) AS count_1
    FROM (
        SELECT 1
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
          AND workflow_wait_deliveries.handler = handlers.handler
        ORDER BY workflow_wait_deliveries.next_attempt_at
        LIMIT 10001
        OFFSET :param_2
    ) AS anon_2
) AS anon_1, (
    SELECT count(*) AS count_2
    FROM (
        SELECT 1
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
          AND workflow_wait_deliveries.handler = handlers.handler
          AND workflow_wait_deliveries.next_attempt_at <= :now
        ORDER BY workflow_wait_deliveries.next_attempt_at
        LIMIT 10001
        OFFSET :param_4
    ) AS anon_4
) AS anon_3, (
    SELECT workflow_wait_deliveries.next_attempt_at
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.status = 'pending'
      AND workflow_wait_deliveries.handler = handlers.handler
      AND workflow_wait_deliveries.next_attempt_at <= :now
    ORDER BY workflow_wait_deliveries.next_attempt_at
    LIMIT :param_6
    OFFSET :param_7
) AS anon_5
FROM handlers
WHERE handlers.handler IS NOT NULL;
