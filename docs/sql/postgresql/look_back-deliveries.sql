-- look_back-deliveries
-- How far back a look goes: the id that so many newer ones come before.

SELECT workflow_wait_deliveries.id
FROM workflow_wait_deliveries
ORDER BY workflow_wait_deliveries.id DESC
LIMIT 1
OFFSET 10000;
