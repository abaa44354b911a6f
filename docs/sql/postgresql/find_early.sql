-- find_early
-- The new waits for whose topics there are events, received since they listen. The topics are locked.

SELECT topics.id
FROM (
    SELECT CAST(split.value[1] AS UUID) AS id, CAST(split.value[2] AS TEXT) AS event_type,
        CAST(split.value[3] AS TEXT) AS contact_id,
        CAST(split.value[4] AS TIMESTAMP WITH TIME ZONE) AS since_at
    FROM (
        SELECT string_to_array(line, E'\t', E'\x02') AS value
        FROM unnest(string_to_array(:topics::VARCHAR, E'\n')) AS line
        OFFSET 0
    ) AS split
) AS topics
WHERE (
    SELECT true AS anon_1
    FROM workflow_events
    WHERE workflow_events.contact_id = topics.contact_id
      AND workflow_events.event_type = topics.event_type
      AND workflow_events.received_at >= topics.since_at
    LIMIT 1
);
