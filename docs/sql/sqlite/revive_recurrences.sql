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
) END, updated_at=:now
FROM workflow_wait_executions
WHERE workflow_wait_executions.id IN (
    SELECT value
    FROM json_each(:ids)
)
  AND workflow_recurrences.id = CAST(CAST(JSON_EXTRACT(workflow_wait_executions.wait_config,
      :wait_config_1) AS VARCHAR) AS VARCHAR(36))
  AND workflow_recurrences.occurrence = CAST(JSON_EXTRACT(workflow_wait_executions.wait_config,
      :wait_config_2) AS INTEGER)
  AND workflow_recurrences.status = 'stopped'
  AND workflow_recurrences.status_reason = 'its wait was cancelled';
