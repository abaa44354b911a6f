-- kinds_of_listeners-events
-- Whether any listener of these topics is grouped or judged, as a rule none is, and how many pairs there are.

SELECT max(CASE WHEN met.grouped THEN 1 ELSE 0 END) AS max_1, max(CASE WHEN met.judged THEN 1
    ELSE 0 END) AS max_2, sum(CASE WHEN (met.grouped OR met.judged) THEN 1 ELSE 0 END) AS sum_1,
    count(*) AS count_1
FROM (
    SELECT workflow_event_listeners.group_no > 0 AS grouped, workflow_event_listeners.exclusive
      OR workflow_event_listeners.gated
      OR workflow_event_listeners."where" IS NOT NULL AS judged
    FROM workflow_events
    JOIN workflow_event_listeners
        ON workflow_events.contact_id = workflow_event_listeners.contact_id
      AND workflow_events.event_type = workflow_event_listeners.event_type
    WHERE workflow_events.id = ANY (ARRAY(
        SELECT wanted.id
        FROM jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID)
    ))
      AND workflow_event_listeners.status = 'active'
    LIMIT :most::INTEGER
) AS met;
