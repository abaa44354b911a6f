-- kinds_of_listeners-wait
-- Whether any listener of these topics is grouped, and whether any is judged: as a rule none is.

SELECT max(CASE WHEN (workflow_event_listeners.group_no > 0) THEN 1 ELSE 0 END) AS max_1, max(CASE
    WHEN (workflow_event_listeners.exclusive OR workflow_event_listeners.gated
    OR workflow_event_listeners."where" IS NOT NULL) THEN 1 ELSE 0 END) AS max_2
FROM workflow_event_listeners
WHERE workflow_event_listeners.wait_id = ANY (ARRAY(
    SELECT wanted.id
    FROM jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID)
))
  AND workflow_event_listeners.status = 'active';
