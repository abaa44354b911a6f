-- count_passed
-- How many events a topic has before a mark, from an index: when they are as many as before, they are the same.

SELECT count(*) AS count_1
FROM workflow_events
WHERE workflow_events.contact_id = :contact_id
  AND workflow_events.event_type = :event_type
  AND workflow_events.received_at >= :since
  AND workflow_events.received_at < :before;
