-- look_back-waits-after
-- How far back a look goes: the id that so many newer ones come before.

SELECT workflow_wait_executions.id
FROM workflow_wait_executions
WHERE workflow_wait_executions.id < :after
ORDER BY workflow_wait_executions.id DESC
LIMIT 1
OFFSET 10000;
