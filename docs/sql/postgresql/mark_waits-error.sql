-- mark_waits-error
-- Give the waits of the wanted deliveries the status that follows from these. Locks the waits by id.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.id IN (
        SELECT workflow_wait_deliveries.wait_id
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.id IN (
            SELECT wanted.id
            FROM jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID)
        )
          AND workflow_wait_deliveries.dead_delivery_id IS NULL
    )
      AND workflow_wait_executions.status IN ('resumed', 'timeout')
    ORDER BY workflow_wait_executions.id
    FOR UPDATE
), marked AS (
    UPDATE workflow_wait_executions
    SET status='error', updated_at=:now::TIMESTAMP WITH TIME ZONE
    FROM claimed
    WHERE workflow_wait_executions.id = claimed.id
      AND workflow_wait_executions.status = claimed.from_status
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data)
    SELECT claimed.id AS id, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        claimed.from_status AS from_status, 'error' AS anon_2, :reason::VARCHAR AS anon_3,
        :actor::VARCHAR AS anon_4, :data::JSONB AS anon_5
    FROM claimed
)
SELECT claimed.id
FROM claimed;
