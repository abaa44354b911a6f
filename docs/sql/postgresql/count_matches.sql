-- count_matches
-- How many events the listeners of these waits have counted.

SELECT workflow_listener_matches.listener_id, count(*) AS count_1
FROM workflow_listener_matches
WHERE workflow_listener_matches.wait_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
GROUP BY workflow_listener_matches.listener_id;
