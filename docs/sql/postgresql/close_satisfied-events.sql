-- close_satisfied-events
-- Listeners of groups that have what they need listen no more: those that counted an event show the last one.
--
-- That is one of those that are correlated now, if there is one: see `complete_waits`.

UPDATE workflow_event_listeners
SET status=CAST(CASE WHEN ((
    SELECT workflow_listener_matches.event_id
    FROM workflow_listener_matches
    WHERE workflow_listener_matches.wait_id = workflow_event_listeners.wait_id
        AND workflow_listener_matches.listener_id = workflow_event_listeners.id
    ORDER BY CASE WHEN workflow_listener_matches.event_id = ANY (ARRAY(
        SELECT wanted.id
        FROM jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID)
    )) THEN 0 ELSE 1 END, workflow_listener_matches.received_at DESC,
        workflow_listener_matches.event_id DESC
    LIMIT :param_1::INTEGER
) IS NOT NULL) THEN 'matched' ELSE 'cancelled' END AS workflow_listener_status), matched_event_id=(
    SELECT workflow_listener_matches.event_id
    FROM workflow_listener_matches
    WHERE workflow_listener_matches.wait_id = workflow_event_listeners.wait_id
      AND workflow_listener_matches.listener_id = workflow_event_listeners.id
    ORDER BY CASE WHEN workflow_listener_matches.event_id = ANY (ARRAY(
        SELECT wanted.id
        FROM jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID)
    )) THEN 0 ELSE 1 END, workflow_listener_matches.received_at DESC,
        workflow_listener_matches.event_id DESC
    LIMIT :param_1::INTEGER
), matched_at=CASE WHEN ((
    SELECT workflow_listener_matches.event_id
    FROM workflow_listener_matches
    WHERE workflow_listener_matches.wait_id = workflow_event_listeners.wait_id
        AND workflow_listener_matches.listener_id = workflow_event_listeners.id
    ORDER BY CASE WHEN workflow_listener_matches.event_id = ANY (ARRAY(
        SELECT wanted.id
        FROM jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID)
    )) THEN 0 ELSE 1 END, workflow_listener_matches.received_at DESC,
        workflow_listener_matches.event_id DESC
    LIMIT :param_1::INTEGER
) IS NOT NULL) THEN :now::TIMESTAMP WITH TIME ZONE END
WHERE workflow_event_listeners.wait_id = ANY (ARRAY(
    SELECT workflow_listener_matches.wait_id
    FROM workflow_listener_matches
    WHERE workflow_listener_matches.event_id = ANY (ARRAY(
        SELECT wanted.id
        FROM jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID)
    ))
))
  AND workflow_event_listeners.status = 'active'
  AND workflow_event_listeners.group_no > 0
  AND (
    SELECT count(*) AS count_1
    FROM workflow_listener_matches
    WHERE workflow_listener_matches.wait_id = workflow_event_listeners.wait_id
      AND workflow_listener_matches.group_no = workflow_event_listeners.group_no
) >= workflow_event_listeners.needed;
