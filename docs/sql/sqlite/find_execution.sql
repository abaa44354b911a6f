-- find_execution
-- A wait of the execution, if there is one: by the first line of its audit trail.

SELECT workflow_wait_transitions.wait_id
FROM workflow_wait_transitions
WHERE workflow_wait_transitions.workflow_execution_id = :execution_id
LIMIT :param_1
OFFSET :param_2;
