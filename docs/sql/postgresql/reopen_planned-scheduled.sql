-- reopen_planned-scheduled
-- Open those of these waits of a plan again that it has cancelled, whom nobody has touched, and whose step is free.
--
-- Locks the waits by id, then their listeners. Their topics are locked.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status
    FROM workflow_wait_executions
    JOIN workflow_wait_plan_entries ON workflow_wait_plan_entries.plan_id = :plan::UUID
      AND workflow_wait_plan_entries.wait_id = workflow_wait_executions.id
    WHERE workflow_wait_executions.id = ANY (CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
      AND workflow_wait_executions.updated_at = workflow_wait_plan_entries.seen_at
      AND coalesce((
        SELECT max(workflow_wait_transitions.id) AS max_1
        FROM workflow_wait_transitions
        WHERE workflow_wait_transitions.wait_id = workflow_wait_executions.id
    ), 0) = workflow_wait_plan_entries.last_line
      AND workflow_wait_executions.status = 'cancelled'
      AND workflow_wait_plan_entries.from_status = 'scheduled'
      AND NOT (EXISTS (
        SELECT *
        FROM workflow_wait_executions AS other
        WHERE other.workflow_execution_id = workflow_wait_executions.workflow_execution_id
          AND other.step_id = workflow_wait_executions.step_id
          AND other.status IN ('waiting', 'scheduled')
          AND other.id != workflow_wait_executions.id
    ))
    ORDER BY workflow_wait_executions.id
    FOR UPDATE OF workflow_wait_executions
), reopened AS (
    UPDATE workflow_wait_executions
    SET status='scheduled', updated_at=:now::TIMESTAMP WITH TIME ZONE, resolved_at=NULL,
        resolution=NULL
    FROM claimed
    WHERE workflow_wait_executions.id = claimed.id
      AND workflow_wait_executions.status = 'cancelled'
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data)
    SELECT claimed.id AS id, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        claimed.from_status AS from_status, 'scheduled' AS anon_2, :reason::VARCHAR AS anon_3,
        :actor::VARCHAR AS anon_4, :data::JSONB AS anon_5
    FROM claimed
)
SELECT claimed.id
FROM claimed;
