-- store_next
-- Insert the waits that come next whose step and key are free, and name them. SQLite only.

INSERT INTO workflow_wait_executions (id, idempotency_key, wait_type, scheduled_at, timezone,
    wait_config, late_policy, workflow_id, workflow_execution_id, step_id, contact_id, context,
    handler, handlers, status, created_at, updated_at)
SELECT given.id, given.idempotency_key, given.wait_type, given.scheduled_at, given.timezone,
    given.wait_config, given.late_policy, workflow_recurrences.workflow_id,
    workflow_recurrences.workflow_execution_id, workflow_recurrences.step_id,
    workflow_recurrences.contact_id, workflow_recurrences.context, workflow_recurrences.handler,
    workflow_recurrences.handlers, 'scheduled' AS anon_1, :now::TIMESTAMP WITH TIME ZONE AS anon_2,
    :now::TIMESTAMP WITH TIME ZONE AS anon__1
FROM (
    SELECT CAST(split.value[1] AS UUID) AS id, CAST(split.value[2] AS UUID) AS "of",
        CAST(split.value[3] AS INTEGER) AS number, CAST(split.value[4] AS TEXT) AS idempotency_key,
        CAST(split.value[5] AS workflow_wait_type) AS wait_type,
        CAST(split.value[6] AS TIMESTAMP WITH TIME ZONE) AS scheduled_at,
        CAST(split.value[7] AS TEXT) AS timezone, CAST(split.value[8] AS JSONB) AS wait_config,
        CAST(split.value[9] AS TEXT) AS late_policy
    FROM (
        SELECT string_to_array(line, E'\t', E'\x02') AS value
        FROM unnest(string_to_array(:given::VARCHAR, E'\n')) AS line
        OFFSET 0
    ) AS split
) AS given, workflow_recurrences
WHERE workflow_recurrences.id = given."of"
ON CONFLICT DO NOTHING
RETURNING workflow_wait_executions.id;
