-- forget_pruned
-- Delete events of the inbox table whose id was pruned before.

DELETE FROM workflow_events
WHERE workflow_events.correlated_at IS NULL
  AND (EXISTS (
    SELECT *
    FROM waitctl_tombstones
    WHERE waitctl_tombstones.kind = 'event_id'
      AND waitctl_tombstones.scope = workflow_events.source
      AND waitctl_tombstones.key = workflow_events.external_id
));
