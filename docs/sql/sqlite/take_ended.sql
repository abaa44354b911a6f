-- take_ended
-- The active recurrences that were due within a span and whose open wait has ended. Locks them by id.

WITH ended AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.scheduled_at AS scheduled_at,
        workflow_wait_executions.resolved_at AS resolved_at,
        workflow_wait_executions.resolution AS resolution,
        workflow_wait_executions.timezone AS timezone,
        CAST(workflow_wait_executions.wait_config AS TEXT) AS wait_config
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.id IN (
        SELECT workflow_recurrences.wait_id
        FROM workflow_recurrences
        WHERE workflow_recurrences.status = 'active'
          AND workflow_recurrences.next_at >= :low_at
          AND workflow_recurrences.next_at <= :up_to_at
    )
      AND workflow_wait_executions.resolution IS NOT NULL
)
SELECT workflow_recurrences.id, CAST(workflow_recurrences.rule AS TEXT) AS rule,
    CAST(workflow_recurrences.rules AS TEXT) AS rules, workflow_recurrences.timezone,
    workflow_recurrences.occurrence, workflow_recurrences.anchor_at,
    workflow_recurrences.contact_id, CASE WHEN (CAST(JSON_EXTRACT(workflow_recurrences.rules,
    :rules_1) AS VARCHAR) IS NOT NULL)
    THEN CAST(workflow_recurrences.context AS TEXT) END AS context, workflow_recurrences.wait_id,
    workflow_recurrences.stop_wait_id, ended.scheduled_at, ended.resolved_at, ended.resolution,
    ended.timezone AS timezone_1, ended.wait_config
FROM workflow_recurrences
JOIN ended ON ended.id = workflow_recurrences.wait_id
WHERE workflow_recurrences.status = 'active'
  AND workflow_recurrences.next_at >= :low_at
  AND workflow_recurrences.next_at <= :up_to_at
ORDER BY workflow_recurrences.id;
