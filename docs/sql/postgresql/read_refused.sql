-- read_refused
-- The beginning of events' data.

SELECT workflow_events.id, substr(CAST(workflow_events.data AS TEXT), 1, 1048576) AS substr_1
FROM workflow_events
WHERE workflow_events.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
