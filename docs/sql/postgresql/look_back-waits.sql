-- look_back-waits
-- How far back a look goes: the id that so many newer ones come before.

SELECT workflow_wait_executions.id
FROM workflow_wait_executions
ORDER BY workflow_wait_executions.id DESC
LIMIT 1
OFFSET 10000;
