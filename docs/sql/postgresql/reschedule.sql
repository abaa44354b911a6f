-- reschedule
-- Give the wanted waits another instant, if they are scheduled for the one expected. Locks the waits by id.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status,
        wanted.scheduled_at AS scheduled_at, wanted.config AS config,
        wanted.late_policy AS late_policy, wanted.timezone AS timezone, wanted.reason AS reason
    FROM workflow_wait_executions
    JOIN jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID,
        expected_at TIMESTAMP WITH TIME ZONE, scheduled_at TIMESTAMP WITH TIME ZONE, config JSONB,
        late_policy TEXT, timezone TEXT, reason TEXT) ON workflow_wait_executions.id = wanted.id
    WHERE workflow_wait_executions.status = 'scheduled'
      AND workflow_wait_executions.scheduled_at = wanted.expected_at
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
)
SELECT claimed.id
FROM claimed;
