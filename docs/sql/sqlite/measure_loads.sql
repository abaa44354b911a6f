-- measure_loads
-- What correlating each of these events may cost; asked when all of them may cost too much together.

WITH topics AS (
    SELECT DISTINCT workflow_events.contact_id AS contact_id,
        workflow_events.event_type AS event_type
    FROM workflow_events
    WHERE workflow_events.id IN (
        SELECT wanted.id
        FROM (
            SELECT json_extract(value, '$."id"') AS id
            FROM json_each(:wanted)
        ) AS wanted
    )
), met AS (
    SELECT topics.contact_id AS contact_id, topics.event_type AS event_type, sum(CASE
        WHEN (workflow_event_listeners.group_no > 0 OR workflow_event_listeners."exclusive" = 1
        OR workflow_event_listeners.gated = 1 OR workflow_event_listeners."where" IS NOT NULL)
        THEN 1 ELSE 0 END) AS costly, count(*) AS listeners
    FROM topics
    JOIN workflow_event_listeners ON topics.contact_id = workflow_event_listeners.contact_id
      AND topics.event_type = workflow_event_listeners.event_type
    WHERE workflow_event_listeners.status = 'active'
    GROUP BY topics.contact_id, topics.event_type
)
SELECT workflow_events.id, workflow_events.contact_id,
    length(CAST(workflow_events.data AS BLOB)) AS anon_1, coalesce(met.costly, 0) AS coalesce_1,
    coalesce(met.listeners, 0) AS coalesce_2
FROM workflow_events
LEFT OUTER JOIN met ON met.contact_id = workflow_events.contact_id
  AND met.event_type = workflow_events.event_type
WHERE workflow_events.id IN (
    SELECT wanted.id
    FROM (
        SELECT json_extract(value, '$."id"') AS id
        FROM json_each(:wanted)
    ) AS wanted
)
ORDER BY workflow_events.received_at, workflow_events.id;
