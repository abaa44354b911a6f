-- take_ended_among
-- The active recurrences whose open wait is one of these, and has ended. Locks them by id.

SELECT workflow_recurrences.id, CAST(workflow_recurrences.rule AS TEXT) AS rule,
    CAST(workflow_recurrences.rules AS TEXT) AS rules, workflow_recurrences.timezone,
    workflow_recurrences.occurrence, workflow_recurrences.anchor_at,
    workflow_recurrences.contact_id, CASE
    WHEN (CAST((workflow_recurrences.rules ->> :rules_1::TEXT) AS VARCHAR) IS NOT NULL)
    THEN CAST(workflow_recurrences.context AS TEXT) END AS context, workflow_recurrences.wait_id,
    workflow_recurrences.stop_wait_id, workflow_wait_executions.scheduled_at,
    workflow_wait_executions.resolved_at, workflow_wait_executions.resolution,
    workflow_wait_executions.timezone AS timezone_1,
    CAST(workflow_wait_executions.wait_config AS TEXT) AS wait_config
FROM workflow_recurrences
JOIN workflow_wait_executions ON workflow_wait_executions.id = workflow_recurrences.wait_id
WHERE workflow_recurrences.status = 'active'
  AND workflow_recurrences.wait_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
  AND coalesce(CAST(workflow_wait_executions.resolution AS TEXT), '') != ''
ORDER BY workflow_recurrences.id
FOR UPDATE OF workflow_recurrences;
