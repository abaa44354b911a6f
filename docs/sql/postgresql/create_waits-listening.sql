-- create_waits-listening
-- Create the waits whose step and key are free; name them when not all are. PostgreSQL only.

WITH stored AS (
    INSERT INTO workflow_wait_executions (id, workflow_id, workflow_execution_id, step_id,
        contact_id, context, idempotency_key, wait_type, status, scheduled_at, timeout_at, timezone,
        wait_config, handler, handlers, late_seconds, late_policy, created_at, updated_at)
    SELECT given.id AS id, given.workflow_id AS workflow_id,
        given.workflow_execution_id AS workflow_execution_id, given.step_id AS step_id,
        given.contact_id AS contact_id, given.context AS context,
        given.idempotency_key AS idempotency_key, plans.wait_type AS wait_type,
        plans.status AS status, plans.scheduled_at AS scheduled_at, plans.timeout_at AS timeout_at,
        plans.timezone AS timezone, plans.wait_config AS wait_config, plans.handler AS handler,
        plans.handlers AS handlers, plans.late_seconds AS late_seconds,
        plans.late_policy AS late_policy, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        :now::TIMESTAMP WITH TIME ZONE AS anon__1
    FROM (
        SELECT CAST(split.value[1] AS UUID) AS id, CAST(split.value[2] AS TEXT) AS plan,
            CAST(split.value[3] AS TEXT) AS workflow_id,
            CAST(split.value[4] AS TEXT) AS workflow_execution_id,
            CAST(split.value[5] AS TEXT) AS step_id, CAST(split.value[6] AS TEXT) AS contact_id,
            CAST(split.value[7] AS JSONB) AS context,
            CAST(split.value[8] AS TEXT) AS idempotency_key
        FROM (
            SELECT string_to_array(line, E'\t', E'\x02') AS value
            FROM unnest(string_to_array(:given::VARCHAR, E'\n')) AS line
            OFFSET 0
        ) AS split
    ) AS given,
        jsonb_to_recordset(CAST(:plans::VARCHAR AS JSONB)) AS plans(wait_type workflow_wait_type,
        status workflow_wait_status, scheduled_at TIMESTAMP WITH TIME ZONE,
        timeout_at TIMESTAMP WITH TIME ZONE, timezone TEXT, wait_config JSONB, handler TEXT,
        handlers JSONB, late_seconds BIGINT, late_policy TEXT, plan TEXT)
    WHERE plans.plan = given.plan
    ON CONFLICT DO NOTHING
    RETURNING workflow_wait_executions.id, workflow_wait_executions.status,
        workflow_wait_executions.workflow_execution_id
), listened_for AS (
    INSERT INTO workflow_event_listeners (id, wait_id, contact_id, event_type, match, match_json,
        "where", exclusive, gated, human, group_no, needed, "distinct", status, since_at,
        timeout_at, expires_at)
    SELECT listening.id AS id, listening.wait_id AS wait_id, listening.contact_id AS contact_id,
        listened.event_type AS event_type, listened.match AS match,
        listened.match_json AS match_json, listened."where" AS "where",
        listened.exclusive AS exclusive, listened.gated AS gated, listened.human AS human,
        listened.group_no AS group_no, listened.needed AS needed, listened."distinct" AS "distinct",
        listened.status AS status, listened.since_at AS since_at, listened.timeout_at AS timeout_at,
        listened.expires_at AS expires_at
    FROM (
        SELECT CAST(split.value[1] AS UUID) AS id, CAST(split.value[2] AS UUID) AS wait_id,
            CAST(split.value[3] AS TEXT) AS plan, CAST(split.value[4] AS TEXT) AS place,
            CAST(split.value[5] AS TEXT) AS contact_id
        FROM (
            SELECT string_to_array(line, E'\t', E'\x02') AS value
            FROM unnest(string_to_array(:listening::VARCHAR, E'\n')) AS line
            OFFSET 0
        ) AS split
    ) AS listening
    JOIN jsonb_to_recordset(CAST(:listened::VARCHAR AS JSONB)) AS listened(event_type TEXT,
        match JSONB, match_json JSONB, "where" TEXT, exclusive BOOLEAN, gated BOOLEAN,
        human BOOLEAN, group_no INTEGER, needed INTEGER, "distinct" TEXT,
        status workflow_listener_status, since_at TIMESTAMP WITH TIME ZONE,
        timeout_at TIMESTAMP WITH TIME ZONE, expires_at TIMESTAMP WITH TIME ZONE, plan TEXT,
        place TEXT) ON listened.plan = listening.plan
      AND listened.place = listening.place
    WHERE EXISTS (
        SELECT *
        FROM stored
        WHERE stored.id = listening.wait_id
    )
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, to_status, reason, actor,
        workflow_execution_id)
    SELECT "of".id AS id, :now::TIMESTAMP WITH TIME ZONE AS anon_1, "of".status AS status,
        :reason::VARCHAR AS anon_2, :actor::VARCHAR AS anon_3,
        "of".workflow_execution_id AS workflow_execution_id
    FROM (
        SELECT stored.id AS id, stored.status AS status,
            stored.workflow_execution_id AS workflow_execution_id
        FROM stored
    ) AS "of"
)
SELECT CASE WHEN ((
    SELECT count(*) AS count_1
    FROM stored
) < :count::INTEGER) THEN (
    SELECT coalesce(array_agg(CAST(stored.id AS TEXT)), CAST('{}' AS TEXT[])) AS coalesce_1
    FROM stored
) END AS anon_4;
