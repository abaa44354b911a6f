-- resume_matching-wait
-- Every wait that takes one event, and that Python has no say in, takes the oldest that fits it.
--
-- Locks the waits by id, then their listeners.

WITH fit AS (
    SELECT workflow_event_listeners.wait_id AS wait_id, workflow_event_listeners.id AS listener_id,
        workflow_events.id AS event_id, to_char(timezone('UTC', workflow_events.received_at),
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || CAST(workflow_events.id AS TEXT) || CAST(workflow_event_listeners.id AS TEXT) AS age
    FROM workflow_events
    JOIN workflow_event_listeners
        ON workflow_events.contact_id = workflow_event_listeners.contact_id
      AND workflow_events.event_type = workflow_event_listeners.event_type
    JOIN workflow_wait_executions ON workflow_wait_executions.id = workflow_event_listeners.wait_id
    WHERE workflow_event_listeners.wait_id = ANY (ARRAY(
        SELECT wanted.id
        FROM jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID)
    ))
      AND workflow_event_listeners.status = 'active'
      AND workflow_wait_executions.status = 'waiting'
      AND (workflow_events.expires_at IS NULL
          OR workflow_events.expires_at > :now::TIMESTAMP WITH TIME ZONE)
      AND workflow_events.received_at >= workflow_event_listeners.since_at
      AND (workflow_event_listeners.expires_at IS NULL
          OR workflow_events.received_at < workflow_event_listeners.expires_at
          AND (workflow_events.received_at < workflow_event_listeners.timeout_at
          OR workflow_events.occurred_at < workflow_event_listeners.timeout_at))
      AND (workflow_event_listeners.match IS NULL OR NOT (EXISTS (
        SELECT 1
        FROM jsonb_each_text(workflow_event_listeners.match) AS pair
        WHERE coalesce(jsonb_typeof((workflow_events.data #> string_to_array(pair.key, '.'))),
            'null') IN ('null', 'object', 'array')
          OR (workflow_events.data #>> string_to_array(pair.key, '.')) != pair.value
    )))
      AND (workflow_event_listeners.match_json IS NULL
          OR (workflow_events.data @> workflow_event_listeners.match_json))
      AND (NOT workflow_event_listeners.human OR NOT (workflow_events.data @> '{"machine":true}'))
      AND NOT (EXISTS (
        SELECT 1
        FROM workflow_event_listeners AS taker
        JOIN workflow_wait_executions AS earlier ON earlier.id = taker.wait_id
        WHERE taker.matched_event_id = workflow_events.id
          AND (taker.exclusive AND (earlier.resolution IN ('due', 'event', 'manual')
              OR earlier.status = 'scheduled') OR earlier.resolution IN ('due', 'event', 'manual')
              AND earlier.workflow_execution_id = workflow_wait_executions.workflow_execution_id)
    ))
      AND NOT (EXISTS (
        SELECT 1
        FROM workflow_listener_matches
        JOIN workflow_wait_executions AS counter ON counter.id = workflow_listener_matches.wait_id
        WHERE workflow_listener_matches.event_id = workflow_events.id
          AND counter.resolution IN ('due', 'event', 'manual')
          AND counter.workflow_execution_id = workflow_wait_executions.workflow_execution_id
    ))
      AND workflow_event_listeners.group_no <= 0
      AND NOT (workflow_event_listeners.exclusive OR workflow_event_listeners.gated
          OR workflow_event_listeners."where" IS NOT NULL)
), claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status,
        coalesce(CAST(workflow_wait_executions.handlers ->> :handlers_1::TEXT AS VARCHAR),
        workflow_wait_executions.handler) AS handler, fit.event_id AS event_id,
        fit.listener_id AS listener_id
    FROM workflow_wait_executions
    JOIN fit ON fit.wait_id = workflow_wait_executions.id
    WHERE workflow_wait_executions.status = 'waiting'
      AND (fit.age IN (
        SELECT min(fit.age) AS min_1
        FROM fit
        GROUP BY fit.wait_id
    )) IS true
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
