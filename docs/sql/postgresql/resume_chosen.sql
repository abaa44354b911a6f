-- resume_chosen
-- Resume the wanted waits, if they still wait. Locks the waits by id, then their listeners.

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
), ended AS (
    UPDATE workflow_wait_executions
    SET status='resumed', updated_at=:now::TIMESTAMP WITH TIME ZONE,
        resolved_at=:now::TIMESTAMP WITH TIME ZONE, resolution='event',
        resolution_event_id=claimed.event_id
    FROM claimed
    WHERE workflow_wait_executions.id = claimed.id
      AND workflow_wait_executions.status = claimed.from_status
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data)
    SELECT claimed.id AS id, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        claimed.from_status AS from_status, 'resumed' AS anon_2, claimed.reason AS reason,
        :actor::VARCHAR AS anon_3, :data::JSONB AS anon_4
    FROM claimed
), uncounted AS (
    INSERT INTO waitctl_uncounted (wait_id)
    SELECT claimed.id AS id
    FROM claimed
    WHERE (
        SELECT :now::TIMESTAMP WITH TIME ZONE < (
            SELECT waitctl_upkeep.until_at
            FROM waitctl_upkeep
            WHERE waitctl_upkeep.name = 'waits'
        )
          OR CAST(floor(extract(epoch FROM clock_timestamp() - :now::TIMESTAMP WITH TIME ZONE)) AS BIGINT) > 60 AS anon_5
    )
    ON CONFLICT DO NOTHING
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
), sent AS (
    INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt,
        next_attempt_at, created_at)
    SELECT waitctl_uuidv7() AS new_id_1, claimed.id AS id, claimed.handler AS handler,
        'event' AS anon_6, 'pending' AS anon_7, 0, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        :now::TIMESTAMP WITH TIME ZONE AS anon__1
    FROM claimed
    WHERE claimed.handler IS NOT NULL
)
SELECT claimed.id, claimed.event_id
FROM claimed;
