-- delete_of-transitions
-- Delete these waits, or what is theirs; their listeners, and what was said at their deliveries, go with them.

DELETE FROM workflow_wait_transitions
WHERE workflow_wait_transitions.wait_id IN (
    SELECT value
    FROM json_each(:ids)
);
