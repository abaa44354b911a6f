-- count_unsettled
-- How many deliveries are not through.

SELECT count(*) AS count_1
FROM workflow_wait_deliveries
WHERE workflow_wait_deliveries.status IN ('pending', 'running');
