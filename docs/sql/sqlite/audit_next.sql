-- audit_next
-- The first lines of the audit trails of the waits that come next. SQLite only.

INSERT INTO workflow_wait_transitions (wait_id, at, to_status, reason, actor, workflow_execution_id,
    id)
SELECT made.id, :now AS anon_1, made.status, :reason AS anon_2, :actor AS anon_3,
    made.workflow_execution_id, (
    SELECT coalesce(max(rowid), 0) AS coalesce_1
    FROM workflow_wait_transitions
) + row_number() OVER () AS id
FROM (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS status,
        workflow_wait_executions.workflow_execution_id AS workflow_execution_id
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.id IN (
        SELECT given.id
        FROM (
            SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS "of",
                json_extract(value, '$[2]') AS number, json_extract(value,
                '$[3]') AS idempotency_key, json_extract(value, '$[4]') AS wait_type,
                substr(json_extract(value, '$[5]'), 1, 26) AS scheduled_at, json_extract(value,
                '$[6]') AS timezone, json_extract(value, '$[7]') AS wait_config, json_extract(value,
                '$[8]') AS late_policy
            FROM json_each(:given)
        ) AS given
    )
) AS made;
