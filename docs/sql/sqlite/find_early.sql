-- find_early
-- The new waits for whose topics there are events, received since they listen. The topics are locked.

SELECT topics.id
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS event_type,
        json_extract(value, '$[2]') AS contact_id, substr(json_extract(value, '$[3]'), 1,
        26) AS since_at
    FROM json_each(:topics)
) AS topics
WHERE (
    SELECT 1 AS anon_1
    FROM workflow_events
    WHERE workflow_events.contact_id = topics.contact_id
      AND workflow_events.event_type = topics.event_type
      AND workflow_events.received_at >= topics.since_at
    LIMIT 1
    OFFSET :param_1
);
