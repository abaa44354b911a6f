-- audit_next
-- The first lines of the audit trails of the waits that come next. SQLite only.

INSERT INTO workflow_wait_transitions (wait_id, at, to_status, reason, actor, workflow_execution_id)
SELECT made.id, :now::TIMESTAMP WITH TIME ZONE AS anon_1, made.status, :reason::VARCHAR AS anon_2,
    :actor::VARCHAR AS anon_3, made.workflow_execution_id
FROM (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS status,
        workflow_wait_executions.workflow_execution_id AS workflow_execution_id
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.id IN (
        SELECT given.id
        FROM (
            SELECT CAST(split.value[1] AS UUID) AS id, CAST(split.value[2] AS UUID) AS "of",
                CAST(split.value[3] AS INTEGER) AS number,
                CAST(split.value[4] AS TEXT) AS idempotency_key,
                CAST(split.value[5] AS workflow_wait_type) AS wait_type,
                CAST(split.value[6] AS TIMESTAMP WITH TIME ZONE) AS scheduled_at,
                CAST(split.value[7] AS TEXT) AS timezone,
                CAST(split.value[8] AS JSONB) AS wait_config,
                CAST(split.value[9] AS TEXT) AS late_policy
            FROM (
                SELECT string_to_array(line, E'\t', E'\x02') AS value
                FROM unnest(string_to_array(:given::VARCHAR, E'\n')) AS line
                OFFSET 0
            ) AS split
        ) AS given
    )
) AS made;
