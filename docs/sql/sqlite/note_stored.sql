-- note_stored
-- The first lines of the audit trails of the waits that were stored. SQLite only.

INSERT INTO workflow_wait_transitions (wait_id, at, to_status, reason, actor, workflow_execution_id,
    id)
SELECT "of".id, :now AS anon_1, "of".status, :reason AS anon_2, :actor AS anon_3,
    "of".workflow_execution_id, (
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
            SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS "plan",
                json_extract(value, '$[2]') AS workflow_id, json_extract(value,
                '$[3]') AS workflow_execution_id, json_extract(value, '$[4]') AS step_id,
                json_extract(value, '$[5]') AS contact_id, json_extract(value, '$[6]') AS context,
                json_extract(value, '$[7]') AS idempotency_key
            FROM json_each(:given)
        ) AS given
    )
) AS "of";
