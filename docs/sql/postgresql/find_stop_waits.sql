-- find_stop_waits
-- The waits that would stop the recurrences of these waits.

SELECT workflow_recurrences.stop_wait_id
FROM workflow_recurrences
WHERE workflow_recurrences.wait_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
  AND workflow_recurrences.stop_wait_id IS NOT NULL;
