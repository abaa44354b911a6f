-- name_deliveries
-- Deliveries, and the execution and step of their waits.

SELECT workflow_wait_deliveries.id, workflow_wait_deliveries.wait_id,
    workflow_wait_executions.workflow_execution_id, workflow_wait_executions.step_id,
    workflow_wait_deliveries.handler, workflow_wait_deliveries.status,
    workflow_wait_deliveries.attempt, workflow_wait_deliveries.max_attempts,
    workflow_wait_deliveries.next_attempt_at, workflow_wait_deliveries.last_error
FROM workflow_wait_deliveries
JOIN workflow_wait_executions ON workflow_wait_executions.id = workflow_wait_deliveries.wait_id
WHERE workflow_wait_deliveries.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
ORDER BY workflow_wait_deliveries.id;
