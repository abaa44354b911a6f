-- count_pending
-- By handler: how many deliveries are pending, how many of them have failed, how many are due, since when.

WITH RECURSIVE handlers(handler) AS (
    SELECT (
        SELECT workflow_wait_deliveries.handler
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
        ORDER BY workflow_wait_deliveries.handler
        LIMIT :param_10
        OFFSET :param_11
    ) AS handler
    UNION ALL
    SELECT (
        SELECT workflow_wait_deliveries.handler
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
          AND workflow_wait_deliveries.handler > handlers.handler
        ORDER BY workflow_wait_deliveries.handler
        LIMIT :param_10
        OFFSET :param_12
    ) AS anon_6
    FROM handlers
    WHERE handlers.handler IS NOT NULL
)
SELECT handlers.handler, (
    SELECT count(*) AS count_1
    FROM (
        SELECT workflow_wait_deliveries.last_error AS last_error
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
          AND workflow_wait_deliveries.handler = handlers.handler
        ORDER BY workflow_wait_deliveries.next_attempt_at
        LIMIT 10001
        OFFSET :param_2
    ) AS pending
) AS anon_1, (
    SELECT count(pending.last_error) AS count_2
    FROM (
        SELECT workflow_wait_deliveries.last_error AS last_error
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
          AND workflow_wait_deliveries.handler = handlers.handler
        ORDER BY workflow_wait_deliveries.next_attempt_at
        LIMIT 10001
        OFFSET :param_3
    ) AS pending
) AS anon_2, (
    SELECT count(*) AS count_3
    FROM (
        SELECT 1
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
          AND workflow_wait_deliveries.handler = handlers.handler
          AND workflow_wait_deliveries.next_attempt_at <= :now
        ORDER BY workflow_wait_deliveries.next_attempt_at
        LIMIT 10001
        OFFSET :param_5
    ) AS anon_4
) AS anon_3, (
    SELECT workflow_wait_deliveries.next_attempt_at
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.status = 'pending'
      AND workflow_wait_deliveries.handler = handlers.handler
      AND workflow_wait_deliveries.next_attempt_at <= :now
    ORDER BY workflow_wait_deliveries.next_attempt_at
    LIMIT :param_7
    OFFSET :param_8
) AS anon_5
FROM handlers
WHERE handlers.handler IS NOT NULL;
