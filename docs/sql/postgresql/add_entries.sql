-- add_entries
-- These open waits come into a plan, too, unless they are in it.

INSERT INTO workflow_wait_plan_entries (plan_id, wait_id, from_status, seen_at, last_line,
    due_before)
SELECT :plan::UUID AS anon_1, workflow_wait_executions.id, workflow_wait_executions.status,
    workflow_wait_executions.updated_at, coalesce((
    SELECT max(workflow_wait_transitions.id) AS max_1
    FROM workflow_wait_transitions
    WHERE workflow_wait_transitions.wait_id = workflow_wait_executions.id
), 0) AS coalesce_1, coalesce(workflow_wait_executions.scheduled_at,
    workflow_wait_executions.timeout_at) AS coalesce_2
FROM workflow_wait_executions
WHERE workflow_wait_executions.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
  AND workflow_wait_executions.status IN ('waiting', 'scheduled')
ON CONFLICT DO NOTHING;
