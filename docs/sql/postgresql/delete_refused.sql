-- delete_refused
-- Delete events of the inbox table that no door would take.

DELETE FROM workflow_events
WHERE workflow_events.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
  AND workflow_events.correlated_at IS NULL;
