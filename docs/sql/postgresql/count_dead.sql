-- count_dead
-- How many deliveries are dead.

SELECT count(*) AS count_1
FROM workflow_wait_deliveries
WHERE workflow_wait_deliveries.status = 'dead';
