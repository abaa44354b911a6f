-- time_out_expired
-- End those of the wanted waits that have expired. Locks the waits by id, past the locked ones.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status,
        coalesce(CAST(workflow_wait_executions.handlers ->> :handlers_1::TEXT AS VARCHAR),
        workflow_wait_executions.handler) AS handler, workflow_wait_executions.timeout_at AS due_at
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.id IN (
        SELECT wanted.id
        FROM jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID)
    )
      AND workflow_wait_executions.status = 'waiting'
      AND (EXISTS (
        SELECT *
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.wait_id = workflow_wait_executions.id
          AND workflow_event_listeners.status = 'active'
          AND workflow_event_listeners.expires_at <= :now::TIMESTAMP WITH TIME ZONE
    ))
      AND NOT (EXISTS (
        SELECT 1
        FROM workflow_event_listeners AS heard
        JOIN workflow_events ON workflow_events.contact_id = heard.contact_id
          AND workflow_events.event_type = heard.event_type
        WHERE heard.wait_id = workflow_wait_executions.id
          AND workflow_events.correlated_at IS NULL
    ))
    ORDER BY workflow_wait_executions.id
    FOR UPDATE SKIP LOCKED
), ended AS (
    UPDATE workflow_wait_executions
    SET status='timeout', updated_at=:now::TIMESTAMP WITH TIME ZONE,
        resolved_at=:now::TIMESTAMP WITH TIME ZONE, resolution='timeout',
        late_seconds=CAST(floor(extract(epoch FROM :now::TIMESTAMP WITH TIME ZONE - claimed.due_at)) AS BIGINT)
    FROM claimed
    WHERE workflow_wait_executions.id = claimed.id
      AND workflow_wait_executions.status = claimed.from_status
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data)
    SELECT claimed.id AS id, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        claimed.from_status AS from_status, 'timeout' AS anon_2, :reason::VARCHAR AS anon_3,
        :actor::VARCHAR AS anon_4, :data::JSONB AS anon_5
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
    SET status='expired'
    FROM claimed
    WHERE workflow_event_listeners.wait_id = claimed.id
      AND workflow_event_listeners.status = 'active'
), sent AS (
    INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt,
        next_attempt_at, created_at)
    SELECT waitctl_uuidv7() AS new_id_1, claimed.id AS id, claimed.handler AS handler,
        'timeout' AS anon_7, 'pending' AS anon_8, 0, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        :now::TIMESTAMP WITH TIME ZONE AS anon__1
    FROM claimed
    WHERE claimed.handler IS NOT NULL
)
SELECT count(*) AS count_1
FROM claimed;
