-- defer_to_opening
-- Schedule waits, whose event came outside their window, for the next opening. No deadline ends them any more.
--
-- Locks the waits by id, then their listeners.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status,
        coalesce(CAST(workflow_wait_executions.handlers ->> :handlers_1::TEXT AS VARCHAR),
        workflow_wait_executions.handler) AS handler, wanted.event_id AS event_id,
        wanted.listener_id AS listener_id, wanted.scheduled_at AS scheduled_at,
        wanted.reason AS reason
    FROM workflow_wait_executions
    JOIN jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID, listener_id UUID,
        event_id UUID, scheduled_at TIMESTAMP WITH TIME ZONE, reason TEXT)
        ON workflow_wait_executions.id = wanted.id
    WHERE workflow_wait_executions.status = 'waiting'
    ORDER BY workflow_wait_executions.id
    FOR UPDATE OF workflow_wait_executions
), deferred AS (
    UPDATE workflow_wait_executions
    SET status='scheduled', scheduled_at=claimed.scheduled_at, timeout_at=NULL,
        updated_at=:now::TIMESTAMP WITH TIME ZONE, resolution_event_id=claimed.event_id
    FROM claimed
    WHERE workflow_wait_executions.id = claimed.id
      AND workflow_wait_executions.status = 'waiting'
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data)
    SELECT claimed.id AS id, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        claimed.from_status AS from_status, 'scheduled' AS anon_2, claimed.reason AS reason,
        :actor::VARCHAR AS anon_3, :data::JSONB AS anon_4
    FROM claimed
), closed AS (
    UPDATE workflow_event_listeners
    SET status=CAST(CASE WHEN (workflow_event_listeners.id = claimed.listener_id) THEN 'matched'
        ELSE 'cancelled' END AS workflow_listener_status), matched_event_id=CASE
        WHEN (workflow_event_listeners.id = claimed.listener_id) THEN claimed.event_id END,
        matched_at=CASE WHEN (workflow_event_listeners.id = claimed.listener_id)
        THEN :now::TIMESTAMP WITH TIME ZONE END
    FROM claimed
    WHERE workflow_event_listeners.wait_id = claimed.id
      AND workflow_event_listeners.status = 'active'
)
SELECT claimed.id
FROM claimed;
