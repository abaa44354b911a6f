-- find_missed
-- Of these waits, which listen again, those for whose topics an event came while they did not. Locks nothing.

SELECT workflow_event_listeners.wait_id
FROM (
    SELECT CAST(split.value[1] AS UUID) AS id,
        CAST(split.value[2] AS TIMESTAMP WITH TIME ZONE) AS at
    FROM (
        SELECT string_to_array(line, E'\t', E'\x02') AS value
        FROM unnest(string_to_array(:since::VARCHAR, E'\n')) AS line
        OFFSET 0
    ) AS split
) AS since
JOIN workflow_event_listeners ON workflow_event_listeners.wait_id = since.id
WHERE workflow_event_listeners.status = 'active'
  AND (
    SELECT true AS anon_1
    FROM workflow_events
    WHERE workflow_events.contact_id = workflow_event_listeners.contact_id
      AND workflow_events.event_type = workflow_event_listeners.event_type
      AND workflow_events.received_at >= since.at
    LIMIT 1
);
