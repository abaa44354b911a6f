-- insert_first_transition
-- The first line of a wait's audit trail, which says of which execution it is.

INSERT INTO workflow_wait_transitions (wait_id, at, to_status, reason, actor, workflow_execution_id)
SELECT :wait_id::UUID AS anon_1, :now::TIMESTAMP WITH TIME ZONE AS anon_2, :status AS anon_3,
    :reason::VARCHAR AS anon_4, :actor::VARCHAR AS anon_5, :execution_id::VARCHAR AS anon_6;
