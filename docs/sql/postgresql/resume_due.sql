-- resume_due
-- Resume the waits that have been due longest. Locks them in that order, past the locked ones.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status,
        coalesce(CASE WHEN (workflow_wait_executions.resolution_event_id IS NULL)
        THEN CAST(workflow_wait_executions.handlers ->> :handlers_1::TEXT AS VARCHAR)
        ELSE CAST(workflow_wait_executions.handlers ->> :handlers_2::TEXT AS VARCHAR) END,
        workflow_wait_executions.handler) AS handler, CASE
        WHEN (workflow_wait_executions.late_policy IS NOT NULL)
        THEN coalesce(CAST(workflow_wait_executions.wait_config ->> 'first_due_at' AS TIMESTAMP WITH TIME ZONE),
        workflow_wait_executions.scheduled_at)
        ELSE workflow_wait_executions.scheduled_at END AS due_at,
        workflow_wait_executions.resolution_event_id AS event_id,
        workflow_wait_executions.scheduled_at AS scheduled_at
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.status = 'scheduled'
      AND workflow_wait_executions.scheduled_at <= :now::TIMESTAMP WITH TIME ZONE
      AND (workflow_wait_executions.late_policy IS NULL
          OR workflow_wait_executions.scheduled_at >= :late_before::TIMESTAMP WITH TIME ZONE)
      AND (workflow_wait_executions.scheduled_at,
          workflow_wait_executions.id) > (:low_at::TIMESTAMP WITH TIME ZONE, :low_id::UUID)
    ORDER BY workflow_wait_executions.scheduled_at, workflow_wait_executions.id
    LIMIT :limit::INTEGER
    FOR UPDATE SKIP LOCKED
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
        claimed.from_status AS from_status, 'resumed' AS anon_2, :reason::VARCHAR AS anon_3,
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
), sent AS (
    INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt,
        next_attempt_at, created_at)
    SELECT waitctl_uuidv7() AS new_id_1, claimed.id AS id, claimed.handler AS handler, CAST(CASE
        WHEN (claimed.event_id IS NULL) THEN 'due'
        ELSE 'event' END AS workflow_delivery_outcome) AS anon_7, 'pending' AS anon_8, 0,
        :now::TIMESTAMP WITH TIME ZONE AS anon_1, :now::TIMESTAMP WITH TIME ZONE AS anon__1
    FROM claimed
    WHERE claimed.handler IS NOT NULL
)
SELECT (
    SELECT count(*) AS count_1
    FROM claimed
) AS ended, claimed.scheduled_at AS up_to_at, claimed.id AS up_to_id, EXISTS (
    SELECT 1
    FROM workflow_recurrences
    WHERE workflow_recurrences.status = 'active'
      AND workflow_recurrences.next_at >= :low_at::TIMESTAMP WITH TIME ZONE
      AND workflow_recurrences.next_at <= :now::TIMESTAMP WITH TIME ZONE
) AS may_recur
FROM claimed
ORDER BY claimed.scheduled_at DESC, claimed.id DESC
LIMIT 1;
