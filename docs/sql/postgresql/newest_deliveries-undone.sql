-- newest_deliveries-undone
-- The newest deliveries, or those that can be retried, for a shell to complete their ids.

SELECT recent.id, recent.handler, recent.outcome, recent.status
FROM (
    SELECT workflow_wait_deliveries.id AS id, workflow_wait_deliveries.handler AS handler,
        workflow_wait_deliveries.outcome AS outcome, workflow_wait_deliveries.status AS status
    FROM workflow_wait_deliveries
    ORDER BY workflow_wait_deliveries.id DESC
    LIMIT 10000
) AS recent
WHERE recent.status IN ('pending', 'dead', 'dropped')
ORDER BY recent.id DESC
LIMIT 500;
