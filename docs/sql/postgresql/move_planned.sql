-- move_planned
-- Give the scheduled waits of a batch that nobody has touched their new instant, or the old one back.
--
-- Locks the waits by id. None becomes due by a new one.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status,
        workflow_wait_plan_entries.due_after AS scheduled_at,
        workflow_wait_plan_entries.config_after AS config,
        workflow_wait_plan_entries.late_policy_after AS late_policy,
        workflow_wait_plan_entries.timezone_after AS timezone,
        :reason::VARCHAR || coalesce(': ' || workflow_wait_plan_entries.note, '') AS reason
    FROM workflow_wait_plan_entries
    JOIN workflow_wait_executions
        ON workflow_wait_executions.id = workflow_wait_plan_entries.wait_id
    WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
      AND workflow_wait_plan_entries.wait_id > :beyond::UUID
      AND workflow_wait_plan_entries.wait_id <= :last::UUID
      AND workflow_wait_plan_entries.fate IS NULL
      AND workflow_wait_executions.updated_at = workflow_wait_plan_entries.seen_at
      AND NOT (EXISTS (
        SELECT *
        FROM workflow_wait_transitions
        WHERE workflow_wait_transitions.wait_id = workflow_wait_executions.id
          AND workflow_wait_transitions.id > workflow_wait_plan_entries.last_line
    ))
      AND workflow_wait_executions.status = 'scheduled'
      AND workflow_wait_plan_entries.due_after > :now::TIMESTAMP WITH TIME ZONE
    ORDER BY workflow_wait_executions.id
    FOR UPDATE OF workflow_wait_executions
), moved AS (
    UPDATE workflow_wait_executions
    SET scheduled_at=claimed.scheduled_at, timezone=claimed.timezone, wait_config=claimed.config,
        updated_at=:now::TIMESTAMP WITH TIME ZONE, late_policy=claimed.late_policy
    FROM claimed
    WHERE workflow_wait_executions.id = claimed.id
      AND workflow_wait_executions.status = 'scheduled'
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data)
    SELECT claimed.id AS id, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        claimed.from_status AS from_status, 'scheduled' AS anon_2, claimed.reason AS reason,
        :actor::VARCHAR AS anon_3, :data::JSONB AS anon_4
    FROM claimed
), recurring AS (
    UPDATE workflow_recurrences
    SET next_at=claimed.scheduled_at
    FROM claimed
    WHERE workflow_recurrences.wait_id = claimed.id
), noted AS (
    UPDATE workflow_wait_plan_entries
    SET seen_at=:now::TIMESTAMP WITH TIME ZONE, fate=:param_3::VARCHAR
    WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
      AND workflow_wait_plan_entries.wait_id > :beyond::UUID
      AND workflow_wait_plan_entries.wait_id <= :last::UUID
      AND workflow_wait_plan_entries.wait_id = ANY (ARRAY(
        SELECT claimed.id
        FROM claimed
    ))
)
SELECT claimed.id
FROM claimed;
