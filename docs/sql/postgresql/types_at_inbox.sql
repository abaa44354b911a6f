-- types_at_inbox
-- Whether an event of these types is yet to be correlated.

SELECT 1
FROM workflow_events
WHERE workflow_events.correlated_at IS NULL
  AND workflow_events.event_type = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:types::VARCHAR, E'\n') AS TEXT[]))
))
LIMIT 1;
