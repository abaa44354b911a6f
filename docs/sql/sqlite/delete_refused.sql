-- delete_refused
-- Delete events of the inbox table that no door would take.

DELETE FROM workflow_events
WHERE workflow_events.id IN (
    SELECT value
    FROM json_each(:ids)
)
  AND workflow_events.correlated_at IS NULL;
