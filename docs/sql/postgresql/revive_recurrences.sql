-- revive_recurrences
-- The recurrences of these waits, which are open again, go on; and what is open again to stop them, does.

UPDATE workflow_recurrences
SET status='active', status_reason=NULL, next_at=workflow_wait_executions.scheduled_at,
    wait_id=workflow_wait_executions.id, stop_wait_id=CASE
    WHEN (workflow_recurrences.stop_on IS NOT NULL) THEN (
    SELECT stop.id
    FROM workflow_wait_executions AS stop
    WHERE stop.workflow_execution_id = workflow_recurrences.workflow_execution_id
        AND stop.step_id = (substr(workflow_recurrences.step_id, 1, 240) || '.stop')
        AND stop.status = 'waiting'
) END, updated_at=:now::TIMESTAMP WITH TIME ZONE
FROM workflow_wait_executions
WHERE workflow_wait_executions.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
  AND workflow_recurrences.id = CAST(CAST((workflow_wait_executions.wait_config ->> :wait_config_1::TEXT) AS VARCHAR) AS UUID)
  AND workflow_recurrences.occurrence = CAST((workflow_wait_executions.wait_config ->> :wait_config_2::TEXT) AS INTEGER)
  AND workflow_recurrences.status = 'stopped'
  AND workflow_recurrences.status_reason = 'its wait was cancelled';
