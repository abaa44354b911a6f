-- insert_first_transition
-- The first line of a wait's audit trail, which says of which execution it is.

INSERT INTO workflow_wait_transitions (wait_id, at, to_status, reason, actor, workflow_execution_id,
    id)
SELECT :wait_id AS anon_1, :now AS anon_2, :status AS anon_3, :reason AS anon_4, :actor AS anon_5,
    :execution_id AS anon_6, (
    SELECT coalesce(max(rowid), 0) AS coalesce_1
    FROM workflow_wait_transitions
) + row_number() OVER () AS id;
