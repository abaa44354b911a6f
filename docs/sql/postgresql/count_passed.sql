-- count_passed
-- How many events a topic has before a mark, from an index: when they are as many as before, they are the same.

SELECT count(*) AS count_1
FROM workflow_events
WHERE workflow_events.contact_id = :contact_id::VARCHAR
  AND workflow_events.event_type = :event_type::VARCHAR
  AND workflow_events.received_at >= :since::TIMESTAMP WITH TIME ZONE
  AND workflow_events.received_at < :before::TIMESTAMP WITH TIME ZONE;
