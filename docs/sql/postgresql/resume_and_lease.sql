-- resume_and_lease
-- Resume due waits, and lease as many deliveries as handlers have room for. Locks as `resume_due`.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status,
        coalesce(CASE WHEN (workflow_wait_executions.resolution_event_id IS NULL)
        THEN CAST(workflow_wait_executions.handlers ->> :handlers_1::TEXT AS VARCHAR)
        ELSE CAST(workflow_wait_executions.handlers ->> :handlers_2::TEXT AS VARCHAR) END,
        workflow_wait_executions.handler) AS handler, CASE
        WHEN (workflow_wait_executions.late_policy IS NOT NULL)
        THEN coalesce(CAST(workflow_wait_executions.wait_config ->> 'first_due_at' AS TIMESTAMP WITH TIME ZONE),
        workflow_wait_executions.scheduled_at)
        ELSE workflow_wait_executions.scheduled_at END AS due_at,
        workflow_wait_executions.resolution_event_id AS event_id,
        workflow_wait_executions.scheduled_at AS scheduled_at
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.status = 'scheduled'
      AND workflow_wait_executions.scheduled_at <= :now::TIMESTAMP WITH TIME ZONE
      AND (workflow_wait_executions.late_policy IS NULL
          OR workflow_wait_executions.scheduled_at >= :late_before::TIMESTAMP WITH TIME ZONE)
      AND (workflow_wait_executions.scheduled_at,
          workflow_wait_executions.id) > (:low_at::TIMESTAMP WITH TIME ZONE, :low_id::UUID)
    ORDER BY workflow_wait_executions.scheduled_at, workflow_wait_executions.id
    LIMIT :limit::INTEGER
    FOR UPDATE SKIP LOCKED
), placed AS (
    SELECT heard.id AS id, heard.from_status AS from_status, heard.handler AS handler,
        heard.due_at AS due_at, heard.event_id AS event_id, heard.scheduled_at AS scheduled_at,
        waitctl_uuidv7() AS delivery_id, heard.handler AS of_handler, CASE
        WHEN (capacities.begins >= heard.place) THEN 1 ELSE 0 END AS attempt,
        capacities.most_attempts AS max_attempts, capacities.lease_until AS lease_until
    FROM (
        SELECT claimed.id AS id, claimed.from_status AS from_status, claimed.handler AS handler,
            claimed.due_at AS due_at, claimed.event_id AS event_id,
            claimed.scheduled_at AS scheduled_at,
            row_number() OVER (PARTITION BY claimed.handler ORDER BY claimed.due_at) AS place
        FROM claimed
    ) AS heard
    LEFT OUTER JOIN jsonb_to_recordset(CAST(:capacities::VARCHAR AS JSONB)) AS capacities(handler TEXT,
        room INTEGER, begins INTEGER, lease_until TIMESTAMP WITH TIME ZONE, most_attempts INTEGER)
        ON capacities.handler = heard.handler
      AND capacities.room >= heard.place
      AND heard.event_id IS NULL
), ended AS (
    UPDATE workflow_wait_executions
    SET status='resumed', updated_at=:now::TIMESTAMP WITH TIME ZONE,
        resolved_at=:now::TIMESTAMP WITH TIME ZONE, resolution=CAST(CASE
        WHEN (placed.event_id IS NULL) THEN 'due' ELSE 'event' END AS workflow_wait_resolution),
        late_seconds=CAST(floor(extract(epoch FROM :now::TIMESTAMP WITH TIME ZONE - placed.due_at)) AS BIGINT)
    FROM placed
    WHERE workflow_wait_executions.id = placed.id
      AND workflow_wait_executions.id = ANY (ARRAY(
        SELECT placed.id
        FROM placed
    ))
      AND workflow_wait_executions.status = placed.from_status
    RETURNING placed.delivery_id, placed.of_handler, placed.attempt, placed.max_attempts,
        placed.lease_until, workflow_wait_executions.id, workflow_wait_executions.workflow_id,
        workflow_wait_executions.workflow_execution_id, workflow_wait_executions.step_id,
        workflow_wait_executions.contact_id, workflow_wait_executions.wait_type AS wait_type,
        workflow_wait_executions.status AS status, to_char(timezone('UTC',
        workflow_wait_executions.scheduled_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS scheduled_at,
        to_char(timezone('UTC', workflow_wait_executions.timeout_at),
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timeout_at, workflow_wait_executions.timezone,
        CAST(workflow_wait_executions.wait_config AS TEXT) AS wait_config,
        CAST(workflow_wait_executions.context AS TEXT) AS context, workflow_wait_executions.handler,
        CAST(workflow_wait_executions.handlers AS TEXT) AS handlers,
        CAST(workflow_wait_executions.command AS TEXT) AS command,
        workflow_wait_executions.idempotency_key, to_char(timezone('UTC',
        workflow_wait_executions.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
        to_char(timezone('UTC', workflow_wait_executions.updated_at),
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at, to_char(timezone('UTC',
        workflow_wait_executions.resolved_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS resolved_at,
        workflow_wait_executions.resolution AS resolution,
        workflow_wait_executions.resolution_event_id, workflow_wait_executions.late_seconds
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data)
    SELECT placed.id AS id, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        placed.from_status AS from_status, 'resumed' AS anon_2, :reason::VARCHAR AS anon_3,
        :actor::VARCHAR AS anon_4, :data::JSONB AS anon_5
    FROM placed
), uncounted AS (
    INSERT INTO waitctl_uncounted (wait_id)
    SELECT placed.id AS id
    FROM placed
    WHERE (
        SELECT :now::TIMESTAMP WITH TIME ZONE < (
            SELECT waitctl_upkeep.until_at
            FROM waitctl_upkeep
            WHERE waitctl_upkeep.name = 'waits'
        )
          OR CAST(floor(extract(epoch FROM clock_timestamp() - :now::TIMESTAMP WITH TIME ZONE)) AS BIGINT) > 60 AS anon_6
    )
    ON CONFLICT DO NOTHING
), sent AS (
    INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt, claims,
        max_attempts, lease_expires_at, next_attempt_at, created_at)
    SELECT placed.delivery_id AS delivery_id, placed.id AS id, placed.of_handler AS of_handler,
        CAST(CASE WHEN (placed.event_id IS NULL) THEN 'due'
        ELSE 'event' END AS workflow_delivery_outcome) AS anon_7, CAST(CASE
        WHEN (placed.lease_until IS NOT NULL) THEN 'running'
        ELSE 'pending' END AS workflow_delivery_status) AS anon_8, placed.attempt AS attempt, CASE
        WHEN (placed.lease_until IS NOT NULL) THEN 1 ELSE 0 END AS anon_9,
        placed.max_attempts AS max_attempts, placed.lease_until AS lease_until,
        :now::TIMESTAMP WITH TIME ZONE AS anon_1, :now::TIMESTAMP WITH TIME ZONE AS anon__1
    FROM placed
    WHERE placed.of_handler IS NOT NULL
)
SELECT one.ended, one.up_to_at, one.up_to_id, one.may_recur, leased.delivery_id, leased.of_handler,
    leased.attempt, leased.max_attempts, leased.id, leased.workflow_id,
    leased.workflow_execution_id, leased.step_id, leased.contact_id, leased.wait_type,
    leased.status, leased.scheduled_at, leased.timeout_at, leased.timezone, leased.wait_config,
    leased.context, leased.handler, leased.handlers, leased.command, leased.idempotency_key,
    leased.created_at, leased.updated_at, leased.resolved_at, leased.resolution,
    leased.resolution_event_id, leased.late_seconds
FROM (
    SELECT (
        SELECT count(*) AS count_1
        FROM placed
    ) AS ended, placed.scheduled_at AS up_to_at, placed.id AS up_to_id, EXISTS (
        SELECT 1
        FROM workflow_recurrences
        WHERE workflow_recurrences.status = 'active'
          AND workflow_recurrences.next_at >= :low_at::TIMESTAMP WITH TIME ZONE
          AND workflow_recurrences.next_at <= :now::TIMESTAMP WITH TIME ZONE
    ) AS may_recur
    FROM placed
    ORDER BY placed.scheduled_at DESC, placed.id DESC
    LIMIT 1
) AS one
LEFT OUTER JOIN (
    SELECT ended.delivery_id AS delivery_id, ended.of_handler AS of_handler,
        ended.attempt AS attempt, ended.max_attempts AS max_attempts, ended.id AS id,
        ended.workflow_id AS workflow_id, ended.workflow_execution_id AS workflow_execution_id,
        ended.step_id AS step_id, ended.contact_id AS contact_id, ended.wait_type AS wait_type,
        ended.status AS status, ended.scheduled_at AS scheduled_at, ended.timeout_at AS timeout_at,
        ended.timezone AS timezone, ended.wait_config AS wait_config, ended.context AS context,
        ended.handler AS handler, ended.handlers AS handlers, ended.command AS command,
        ended.idempotency_key AS idempotency_key, ended.created_at AS created_at,
        ended.updated_at AS updated_at, ended.resolved_at AS resolved_at,
        ended.resolution AS resolution, ended.resolution_event_id AS resolution_event_id,
        ended.late_seconds AS late_seconds
    FROM ended
    WHERE ended.lease_until IS NOT NULL
) AS leased ON true;
