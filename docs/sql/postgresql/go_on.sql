-- go_on
-- Make the waits that come next whose step and key are free, and note them; name the others' recurrences.
--
-- PostgreSQL only.

WITH coming AS (
    SELECT given.id AS id, given."of" AS "of", given.number AS number,
        given.idempotency_key AS idempotency_key, given.wait_type AS wait_type,
        given.scheduled_at AS scheduled_at, given.timezone AS timezone,
        given.wait_config AS wait_config, given.late_policy AS late_policy
    FROM (
        SELECT CAST(split.value[1] AS UUID) AS id, CAST(split.value[2] AS UUID) AS "of",
            CAST(split.value[3] AS INTEGER) AS number,
            CAST(split.value[4] AS TEXT) AS idempotency_key,
            CAST(split.value[5] AS workflow_wait_type) AS wait_type,
            CAST(split.value[6] AS TIMESTAMP WITH TIME ZONE) AS scheduled_at,
            CAST(split.value[7] AS TEXT) AS timezone, CAST(split.value[8] AS JSONB) AS wait_config,
            CAST(split.value[9] AS TEXT) AS late_policy
        FROM (
            SELECT string_to_array(line, E'\t', E'\x02') AS value
            FROM unnest(string_to_array(:given::VARCHAR, E'\n')) AS line
            OFFSET 0
        ) AS split
    ) AS given
), stored AS (
    INSERT INTO workflow_wait_executions (id, idempotency_key, wait_type, scheduled_at, timezone,
        wait_config, late_policy, workflow_id, workflow_execution_id, step_id, contact_id, context,
        handler, handlers, status, created_at, updated_at)
    SELECT coming.id AS id, coming.idempotency_key AS idempotency_key,
        coming.wait_type AS wait_type, coming.scheduled_at AS scheduled_at,
        coming.timezone AS timezone, coming.wait_config AS wait_config,
        coming.late_policy AS late_policy, workflow_recurrences.workflow_id AS workflow_id,
        workflow_recurrences.workflow_execution_id AS workflow_execution_id,
        workflow_recurrences.step_id AS step_id, workflow_recurrences.contact_id AS contact_id,
        workflow_recurrences.context AS context, workflow_recurrences.handler AS handler,
        workflow_recurrences.handlers AS handlers, 'scheduled' AS anon_4,
        :now::TIMESTAMP WITH TIME ZONE AS anon_5, :now::TIMESTAMP WITH TIME ZONE AS anon__1
    FROM coming, workflow_recurrences
    WHERE workflow_recurrences.id = coming."of"
      AND workflow_recurrences.id = ANY (ARRAY(
        SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
    ))
    ON CONFLICT DO NOTHING
    RETURNING workflow_wait_executions.id, workflow_wait_executions.status,
        workflow_wait_executions.workflow_execution_id
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, to_status, reason, actor,
        workflow_execution_id)
    SELECT made.id AS id, :now::TIMESTAMP WITH TIME ZONE AS anon_1, made.status AS status,
        :reason::VARCHAR AS anon_2, :actor::VARCHAR AS anon_3,
        made.workflow_execution_id AS workflow_execution_id
    FROM (
        SELECT stored.id AS id, stored.status AS status,
            stored.workflow_execution_id AS workflow_execution_id
        FROM stored
    ) AS made
), noted AS (
    UPDATE workflow_recurrences
    SET status='active', occurrence=coming.number, next_at=coming.scheduled_at, wait_id=coming.id,
        updated_at=:now::TIMESTAMP WITH TIME ZONE
    FROM coming, stored
    WHERE workflow_recurrences.id = coming."of"
      AND stored.id = coming.id
)
SELECT coming."of"
FROM coming
WHERE NOT (EXISTS (
    SELECT *
    FROM stored
    WHERE stored.id = coming.id
));
