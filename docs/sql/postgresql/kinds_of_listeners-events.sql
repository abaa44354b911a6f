-- kinds_of_listeners-events
-- Whether any listener of these topics is grouped, and whether any is judged: as a rule none is.

SELECT max(CASE WHEN (workflow_event_listeners.group_no > 0) THEN 1 ELSE 0 END) AS max_1, max(CASE
    WHEN (workflow_event_listeners.exclusive OR workflow_event_listeners.gated
    OR workflow_event_listeners."where" IS NOT NULL) THEN 1 ELSE 0 END) AS max_2
FROM workflow_events
JOIN workflow_event_listeners ON workflow_events.contact_id = workflow_event_listeners.contact_id
  AND workflow_events.event_type = workflow_event_listeners.event_type
WHERE workflow_events.id = ANY (ARRAY(
    SELECT wanted.id
    FROM jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID)
))
  AND workflow_event_listeners.status = 'active';
