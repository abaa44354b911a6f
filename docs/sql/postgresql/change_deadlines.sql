-- change_deadlines
-- Give the wanted waits another deadline or window. Locks the waits by id, then their listeners.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status,
        wanted.timeout_at AS timeout_at, wanted.expires_at AS expires_at, wanted.gated AS gated,
        wanted.config AS config, wanted.late_policy AS late_policy, wanted.timezone AS timezone,
        wanted.reason AS reason
    FROM workflow_wait_executions
    JOIN jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID,
        timeout_at TIMESTAMP WITH TIME ZONE, expires_at TIMESTAMP WITH TIME ZONE, gated BOOLEAN,
        config JSONB, late_policy TEXT, timezone TEXT, reason TEXT)
        ON workflow_wait_executions.id = wanted.id
    WHERE workflow_wait_executions.status = 'waiting'
    ORDER BY workflow_wait_executions.id
    FOR UPDATE OF workflow_wait_executions
), moved AS (
    UPDATE workflow_wait_executions
    SET timeout_at=claimed.timeout_at, timezone=claimed.timezone, wait_config=claimed.config,
        updated_at=:now::TIMESTAMP WITH TIME ZONE, late_policy=claimed.late_policy
    FROM claimed
    WHERE workflow_wait_executions.id = claimed.id
      AND workflow_wait_executions.status = 'waiting'
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data)
    SELECT claimed.id AS id, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        claimed.from_status AS from_status, 'waiting' AS anon_2, claimed.reason AS reason,
        :actor::VARCHAR AS anon_3, :data::JSONB AS anon_4
    FROM claimed
), listening AS (
    UPDATE workflow_event_listeners
    SET gated=claimed.gated, timeout_at=claimed.timeout_at, expires_at=claimed.expires_at
    FROM claimed
    WHERE workflow_event_listeners.wait_id = claimed.id
)
SELECT claimed.id
FROM claimed;
