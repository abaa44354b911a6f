-- resume_late-silent
-- Resume the wanted waits, which `claim_late` has locked, each for its reason.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status,
        CAST(NULL AS TEXT) AS handler, CASE WHEN (workflow_wait_executions.late_policy IS NOT NULL)
        THEN coalesce(CAST(workflow_wait_executions.wait_config ->> 'first_due_at' AS TIMESTAMP WITH TIME ZONE),
        workflow_wait_executions.scheduled_at)
        ELSE workflow_wait_executions.scheduled_at END AS due_at,
        workflow_wait_executions.resolution_event_id AS event_id, wanted.reason AS reason
    FROM workflow_wait_executions
    JOIN jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID, reason TEXT)
        ON workflow_wait_executions.id = wanted.id
    WHERE workflow_wait_executions.status = 'scheduled'
    ORDER BY workflow_wait_executions.id
    FOR UPDATE OF workflow_wait_executions
), ended AS (
    UPDATE workflow_wait_executions
    SET status='resumed', updated_at=:now::TIMESTAMP WITH TIME ZONE,
        resolved_at=:now::TIMESTAMP WITH TIME ZONE, resolution=CAST(CASE
        WHEN (claimed.event_id IS NULL) THEN 'due' ELSE 'event' END AS workflow_wait_resolution),
        late_seconds=CAST(floor(extract(epoch FROM :now::TIMESTAMP WITH TIME ZONE - claimed.due_at)) AS BIGINT)
    FROM claimed
    WHERE workflow_wait_executions.id = claimed.id
      AND workflow_wait_executions.id = ANY (ARRAY(
        SELECT claimed.id
        FROM claimed
    ))
      AND workflow_wait_executions.status = claimed.from_status
), audited AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data)
    SELECT claimed.id AS id, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
        claimed.from_status AS from_status, 'resumed' AS anon_2, claimed.reason AS reason,
        :actor::VARCHAR AS anon_3, :data::JSONB AS anon_4
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
          OR CAST(floor(extract(epoch FROM clock_timestamp() - :now::TIMESTAMP WITH TIME ZONE)) AS BIGINT) > 60 AS anon_5
    )
    ON CONFLICT DO NOTHING
), sent AS (
    INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt,
        next_attempt_at, created_at)
    SELECT waitctl_uuidv7() AS new_id_1, claimed.id AS id, claimed.handler AS handler, CAST(CASE
        WHEN (claimed.event_id IS NULL) THEN 'due'
        ELSE 'event' END AS workflow_delivery_outcome) AS anon_6, 'pending' AS anon_7, 0,
        :now::TIMESTAMP WITH TIME ZONE AS anon_1, :now::TIMESTAMP WITH TIME ZONE AS anon__1
    FROM claimed
    WHERE claimed.handler IS NOT NULL
)
SELECT claimed.id
FROM claimed;
