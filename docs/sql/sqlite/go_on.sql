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
        SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS "of",
            json_extract(value, '$[2]') AS number, json_extract(value, '$[3]') AS idempotency_key,
            json_extract(value, '$[4]') AS wait_type, substr(json_extract(value, '$[5]'), 1,
            26) AS scheduled_at, json_extract(value, '$[6]') AS timezone, json_extract(value,
            '$[7]') AS wait_config, json_extract(value, '$[8]') AS late_policy
        FROM json_each(:given)
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
        workflow_recurrences.handlers AS handlers, 'scheduled' AS anon_4, :now AS anon_5,
        :now AS anon__1
    FROM coming, workflow_recurrences
    WHERE workflow_recurrences.id = coming."of"
    ON CONFLICT DO NOTHING
    RETURNING id, status, workflow_execution_id
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, to_status, reason, actor,
        workflow_execution_id, id)
    SELECT made.id AS id, :now AS anon_1, made.status AS status, :reason AS anon_2,
        :actor AS anon_3, made.workflow_execution_id AS workflow_execution_id, (
        SELECT coalesce(max(rowid), 0) AS coalesce_1
        FROM workflow_wait_transitions
    ) + row_number() OVER () AS id
    FROM (
        SELECT stored.id AS id, stored.status AS status,
            stored.workflow_execution_id AS workflow_execution_id
        FROM stored
    ) AS made
), noted AS (
    UPDATE workflow_recurrences
    SET status='active', occurrence=coming.number, next_at=coming.scheduled_at, wait_id=coming.id,
        updated_at=:now
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
