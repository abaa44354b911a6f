-- audit_next
-- The first lines of the audit trails of these waits. SQLite only.

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
        SELECT value
        FROM json_each(:ids)
    )
) AS made;
