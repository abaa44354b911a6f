-- count_looked_at
-- How many events a wait has looked back over, ``most`` at most.

SELECT count(*) AS count_1
FROM (
    SELECT workflow_events.id AS id
    FROM workflow_event_listeners
    JOIN workflow_events ON workflow_events.contact_id = workflow_event_listeners.contact_id
      AND workflow_events.event_type = workflow_event_listeners.event_type
    WHERE workflow_event_listeners.wait_id = :wait_id
      AND workflow_events.received_at >= workflow_event_listeners.since_at
    LIMIT :most
    OFFSET :param_1
) AS found;
