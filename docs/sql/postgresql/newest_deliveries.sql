-- newest_deliveries
-- The newest deliveries, or those that can be retried, for a shell to complete their ids.

SELECT workflow_wait_deliveries.id, workflow_wait_deliveries.handler,
    workflow_wait_deliveries.outcome, workflow_wait_deliveries.status
FROM workflow_wait_deliveries
ORDER BY workflow_wait_deliveries.id DESC
LIMIT 500;
