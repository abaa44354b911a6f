-- history
-- A wait's audit trail, oldest first; or its newest lines, from the last one back.

SELECT workflow_wait_transitions.at, workflow_wait_transitions.from_status,
    workflow_wait_transitions.to_status, workflow_wait_transitions.reason,
    workflow_wait_transitions.actor, workflow_wait_transitions.data
FROM workflow_wait_transitions
WHERE workflow_wait_transitions.wait_id = :wait_id::UUID
ORDER BY workflow_wait_transitions.id;
