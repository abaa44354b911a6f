-- delete_of-transitions
-- Delete these waits, or what is theirs; their listeners, and what was said at their deliveries, go with them.

DELETE FROM workflow_wait_transitions
WHERE workflow_wait_transitions.wait_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
