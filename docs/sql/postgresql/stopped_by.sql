-- stopped_by
-- The open recurrences that one of these waits stops. Locks them by id.

SELECT workflow_recurrences.id, workflow_recurrences.workflow_id,
    workflow_recurrences.workflow_execution_id, workflow_recurrences.step_id,
    workflow_recurrences.contact_id, workflow_recurrences.rule, workflow_recurrences.rules,
    workflow_recurrences.timezone, workflow_recurrences.context, workflow_recurrences.handler,
    workflow_recurrences.handlers, workflow_recurrences.stop_on, workflow_recurrences.status,
    workflow_recurrences.status_reason, workflow_recurrences.created_by,
    workflow_recurrences.occurrence, workflow_recurrences.anchor_at, workflow_recurrences.next_at,
    workflow_recurrences.wait_id, workflow_recurrences.stop_wait_id,
    workflow_recurrences.created_at, workflow_recurrences.updated_at
FROM workflow_recurrences
WHERE workflow_recurrences.status IN ('active', 'paused')
  AND workflow_recurrences.stop_wait_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
ORDER BY workflow_recurrences.id
FOR UPDATE;
