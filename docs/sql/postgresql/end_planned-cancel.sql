-- end_planned-cancel
-- End the waits of a batch that nobody has touched. Locks the waits by id, then their listeners.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status,
        coalesce(CAST(workflow_wait_executions.handlers ->> :handlers_1::TEXT AS VARCHAR),
        workflow_wait_executions.handler) AS handler
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
      AND workflow_wait_executions.status IN ('waiting', 'scheduled')
    ORDER BY workflow_wait_executions.id
    FOR UPDATE OF workflow_wait_executions
), ended AS (
    UPDATE workflow_wait_executions
    SET status='cancelled', updated_at=:now::TIMESTAMP WITH TIME ZONE,
        resolved_at=:now::TIMESTAMP WITH TIME ZONE, resolution='cancelled'
    FROM claimed
    WHERE workflow_wait_executions.id = claimed.id
      AND workflow_wait_executions.status = claimed.from_status
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data)
    SELECT claimed.id AS id, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        claimed.from_status AS from_status, 'cancelled' AS anon_2, :reason::VARCHAR AS anon_3,
        :actor::VARCHAR AS anon_4, :data::JSONB AS anon_5
    FROM claimed
), uncounted AS (
    INSERT INTO waitctl_uncounted (wait_id)
    SELECT claimed.id AS id
    FROM claimed
    WHERE (
        SELECT :now::TIMESTAMP WITH TIME ZONE < (
            SELECT waitctl_upkeep.until_at
            FROM waitctl_upkeep
            WHERE waitctl_upkeep.name = 'waits'
        )
          OR CAST(floor(extract(epoch FROM clock_timestamp() - :now::TIMESTAMP WITH TIME ZONE)) AS BIGINT) > 60 AS anon_6
    )
    ON CONFLICT DO NOTHING
), closed AS (
    UPDATE workflow_event_listeners
    SET status='cancelled'
    FROM claimed
    WHERE workflow_event_listeners.wait_id = claimed.id
      AND workflow_event_listeners.status = 'active'
), noted AS (
    UPDATE workflow_wait_plan_entries
    SET seen_at=:now::TIMESTAMP WITH TIME ZONE, fate=:param_7::VARCHAR
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
