-- insert_event_ids
-- Tombstones of the senders' ids of events that are pruned.

INSERT INTO waitctl_tombstones (kind, scope, key, created_at)
SELECT 'event_id', workflow_events.source, workflow_events.external_id,
    :now::TIMESTAMP WITH TIME ZONE AS anon_1
FROM workflow_events
WHERE workflow_events.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
  AND workflow_events.external_id IS NOT NULL
ON CONFLICT DO NOTHING;
