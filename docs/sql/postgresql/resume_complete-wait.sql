-- resume_complete-wait
-- Resume the grouped waits that have all they need. Locks the waits by id, then their listeners.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status,
        coalesce(CAST(workflow_wait_executions.handlers ->> :handlers_1::TEXT AS VARCHAR),
        workflow_wait_executions.handler) AS handler, newest.event_id AS event_id,
        newest.listener_id AS listener_id
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
      AND NOT (EXISTS (
        SELECT *
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.wait_id = workflow_wait_executions.id
          AND workflow_event_listeners.gated
    ))
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
        claimed.from_status AS from_status, 'resumed' AS anon_2,
        :reason::VARCHAR || CAST(claimed.event_id AS TEXT) AS anon_3, :actor::VARCHAR AS anon_4,
        :data::JSONB AS anon_5
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
          OR CAST(floor(extract(epoch FROM clock_timestamp() - :now::TIMESTAMP WITH TIME ZONE)) AS BIGINT) > 60 AS anon_6
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
        'event' AS anon_7, 'pending' AS anon_8, 0, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        :now::TIMESTAMP WITH TIME ZONE AS anon__1
    FROM claimed
    WHERE claimed.handler IS NOT NULL
)
SELECT claimed.id, claimed.event_id
FROM claimed;
