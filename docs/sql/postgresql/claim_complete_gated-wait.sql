-- claim_complete_gated-wait
-- The grouped waits that have all they need, and a window. Locks the waits by id.

SELECT workflow_wait_executions.id AS wait_id, newest.event_id, newest.listener_id,
    newest.received_at, workflow_wait_executions.timezone, workflow_wait_executions.wait_config,
    true AS gated
FROM workflow_wait_executions
JOIN workflow_listener_matches AS newest ON newest.wait_id = workflow_wait_executions.id
WHERE newest.wait_id = ANY (ARRAY(
    SELECT wanted.id
    FROM jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID)
))
  AND workflow_wait_executions.status = 'waiting'
  AND NOT (EXISTS (
    SELECT *
    FROM workflow_listener_matches AS newer
    WHERE newer.wait_id = newest.wait_id
      AND (newer.received_at, newer.event_id) > (newest.received_at, newest.event_id)
      AND newer.wait_id = ANY (ARRAY(
        SELECT wanted.id
        FROM jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID)
    ))
))
  AND NOT (EXISTS (
    SELECT *
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.wait_id = workflow_wait_executions.id
      AND workflow_event_listeners.status = 'active'
))
  AND (EXISTS (
    SELECT *
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.wait_id = workflow_wait_executions.id
      AND workflow_event_listeners.gated
))
ORDER BY workflow_wait_executions.id
FOR UPDATE OF workflow_wait_executions;
