-- count_ended
-- How many of these waits there are, and how many of them have ended.

SELECT count(*) AS count_1, count(workflow_wait_executions.resolved_at) AS count_2
FROM workflow_wait_executions
WHERE workflow_wait_executions.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
