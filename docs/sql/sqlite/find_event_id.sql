-- find_event_id
-- Our id of the event that its sender knows by this one.

SELECT workflow_events.id
FROM workflow_events
WHERE workflow_events.source = :source
  AND workflow_events.external_id = :external_id;
