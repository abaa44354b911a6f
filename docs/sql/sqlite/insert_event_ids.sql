-- insert_event_ids
-- Tombstones of the senders' ids of events that are pruned.

INSERT INTO waitctl_tombstones (kind, scope, "key", created_at)
SELECT 'event_id', workflow_events.source, workflow_events.external_id, :now AS anon_1
FROM workflow_events
WHERE workflow_events.id IN (
    SELECT value
    FROM json_each(:ids)
)
  AND workflow_events.external_id IS NOT NULL
ON CONFLICT DO NOTHING;
