-- reopen_planned-waiting
-- Open the waits of a batch again that nobody has touched since they were cancelled, and whose step is free.
--
-- A recurring one only if its recurrence can go on with it.
-- Locks the waits by id, then their listeners. Their topics are locked.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status
    FROM workflow_wait_plan_entries
    JOIN workflow_wait_executions
        ON workflow_wait_executions.id = workflow_wait_plan_entries.wait_id
    WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
      AND workflow_wait_plan_entries.wait_id > :beyond::UUID
      AND workflow_wait_plan_entries.wait_id <= :last::UUID
      AND workflow_wait_plan_entries.fate = :param_2::VARCHAR
      AND workflow_wait_plan_entries.undone_fate IS NULL
      AND workflow_wait_executions.updated_at = workflow_wait_plan_entries.seen_at
      AND (
        SELECT count(*) AS count_1
        FROM workflow_wait_transitions
        WHERE workflow_wait_transitions.wait_id = workflow_wait_executions.id
          AND workflow_wait_transitions.id > workflow_wait_plan_entries.last_line
    ) = 1
      AND workflow_wait_executions.status = 'cancelled'
      AND workflow_wait_plan_entries.from_status = 'waiting'
      AND NOT (EXISTS (
        SELECT *
        FROM workflow_wait_executions AS other
        WHERE other.workflow_execution_id = workflow_wait_executions.workflow_execution_id
          AND other.step_id = workflow_wait_executions.step_id
          AND other.status IN ('waiting', 'scheduled')
          AND other.id != workflow_wait_executions.id
    ))
      AND (CAST((workflow_wait_executions.wait_config ->> :wait_config_1::TEXT) AS VARCHAR) IS NULL
          OR (EXISTS (
        SELECT *
        FROM workflow_recurrences
        WHERE workflow_recurrences.id = CAST(CAST((workflow_wait_executions.wait_config ->> :wait_config_1::TEXT) AS VARCHAR) AS UUID)
          AND workflow_recurrences.occurrence = CAST((workflow_wait_executions.wait_config ->> :wait_config_2::TEXT) AS INTEGER)
          AND workflow_recurrences.status = 'stopped'
          AND workflow_recurrences.status_reason = 'its wait was cancelled'
    )) AND NOT (EXISTS (
        SELECT *
        FROM workflow_recurrences
        WHERE workflow_recurrences.workflow_execution_id = workflow_wait_executions.workflow_execution_id
          AND workflow_recurrences.step_id = workflow_wait_executions.step_id
          AND workflow_recurrences.status IN ('active', 'paused')
    )))
    ORDER BY workflow_wait_executions.id
    FOR UPDATE OF workflow_wait_executions
), reopened AS (
    UPDATE workflow_wait_executions
    SET status='waiting', updated_at=:now::TIMESTAMP WITH TIME ZONE, resolved_at=NULL,
        resolution=NULL
    FROM claimed
    WHERE workflow_wait_executions.id = claimed.id
      AND workflow_wait_executions.status = 'cancelled'
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data)
    SELECT claimed.id AS id, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        claimed.from_status AS from_status, 'waiting' AS anon_2, :reason::VARCHAR AS anon_3,
        :actor::VARCHAR AS anon_4, :data::JSONB AS anon_5
    FROM claimed
), noted AS (
    UPDATE workflow_wait_plan_entries
    SET seen_at=:now::TIMESTAMP WITH TIME ZONE, undone_fate=:param_11::VARCHAR
    WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
      AND workflow_wait_plan_entries.wait_id > :beyond::UUID
      AND workflow_wait_plan_entries.wait_id <= :last::UUID
      AND workflow_wait_plan_entries.wait_id = ANY (ARRAY(
        SELECT claimed.id
        FROM claimed
    ))
), forgotten AS (
    DELETE FROM waitctl_uncounted
    WHERE waitctl_uncounted.wait_id = ANY (ARRAY(
        SELECT claimed.id
        FROM claimed
    ))
), listening AS (
    UPDATE workflow_event_listeners
    SET status='active'
    FROM claimed
    WHERE workflow_event_listeners.wait_id = claimed.id
      AND workflow_event_listeners.status = 'cancelled'
      AND NOT (EXISTS (
        SELECT *
        FROM workflow_event_listeners AS other
        WHERE other.wait_id = workflow_event_listeners.wait_id
          AND other.group_no = workflow_event_listeners.group_no
          AND other.status = 'matched'
    ))
)
SELECT claimed.id
FROM claimed;
