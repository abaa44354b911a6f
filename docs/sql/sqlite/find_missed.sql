-- find_missed
-- Of these waits, which listen again, those for whose topics an event came while they did not. Locks nothing.

SELECT workflow_event_listeners.wait_id
FROM (
    SELECT json_extract(value, '$[0]') AS id, substr(json_extract(value, '$[1]'), 1, 26) AS at
    FROM json_each(:since)
) AS since
JOIN workflow_event_listeners ON workflow_event_listeners.wait_id = since.id
WHERE workflow_event_listeners.status = 'active'
  AND (
    SELECT 1 AS anon_1
    FROM workflow_events
    WHERE workflow_events.contact_id = workflow_event_listeners.contact_id
      AND workflow_events.event_type = workflow_event_listeners.event_type
      AND workflow_events.received_at >= since.at
    LIMIT 1
    OFFSET :param_2
);
