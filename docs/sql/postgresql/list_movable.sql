-- list_movable
-- Of these waits, if they are open, what says where they can go.

SELECT workflow_wait_executions.id, workflow_wait_executions.status = 'waiting' AS listens,
    workflow_wait_executions.updated_at, CASE WHEN (workflow_wait_executions.status = 'waiting')
    THEN workflow_wait_executions.timeout_at ELSE workflow_wait_executions.scheduled_at END AS at,
    workflow_wait_executions.timezone, CAST(workflow_wait_executions.wait_config AS TEXT) AS config,
    workflow_wait_executions.late_policy
FROM workflow_wait_executions
WHERE workflow_wait_executions.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
  AND workflow_wait_executions.status IN ('waiting', 'scheduled');
