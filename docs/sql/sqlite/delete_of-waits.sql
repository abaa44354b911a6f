-- delete_of-waits
-- Delete these waits, or what is theirs; their listeners, and what was said at their deliveries, go with them.

DELETE FROM workflow_wait_executions
WHERE workflow_wait_executions.id IN (
    SELECT value
    FROM json_each(:ids)
);
