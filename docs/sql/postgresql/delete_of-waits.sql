-- delete_of-waits
-- Delete these waits, or what is theirs; their listeners, and what was said at their deliveries, go with them.

DELETE FROM workflow_wait_executions
WHERE workflow_wait_executions.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
