-- insert_moves
-- The waits of a plan and where they are to go, but those that have changed since they were looked at.

INSERT INTO workflow_wait_plan_entries (plan_id, wait_id, from_status, seen_at, last_line,
    due_before, expires_before, config_before, late_policy_before, timezone_before, gated_before,
    due_after, expires_after, config_after, late_policy_after, timezone_after, gated_after, note,
    fate)
SELECT :plan::UUID AS anon_1, workflow_wait_executions.id, workflow_wait_executions.status,
    workflow_wait_executions.updated_at, coalesce((
    SELECT max(workflow_wait_transitions.id) AS max_1
    FROM workflow_wait_transitions
    WHERE workflow_wait_transitions.wait_id = workflow_wait_executions.id
), 0) AS coalesce_1, coalesce(workflow_wait_executions.scheduled_at,
    workflow_wait_executions.timeout_at) AS coalesce_2, CASE
    WHEN (workflow_wait_executions.status = 'waiting') THEN (
    SELECT workflow_event_listeners.expires_at
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.wait_id = workflow_wait_executions.id
    LIMIT 1
) END AS anon_2, workflow_wait_executions.wait_config, workflow_wait_executions.late_policy,
    workflow_wait_executions.timezone, CASE WHEN (workflow_wait_executions.status = 'waiting')
    THEN (
    SELECT workflow_event_listeners.gated
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.wait_id = workflow_wait_executions.id
    LIMIT 1
) END AS anon_3, moves.due, moves.expires, moves.config, moves.late_policy AS late_policy_1,
    moves.timezone AS timezone_1, moves.gated, moves.note, moves.to_fate
FROM (
    SELECT CAST(split.value[1] AS UUID) AS id,
        CAST(split.value[2] AS TIMESTAMP WITH TIME ZONE) AS seen_at,
        CAST(split.value[3] AS TIMESTAMP WITH TIME ZONE) AS due,
        CAST(split.value[4] AS TIMESTAMP WITH TIME ZONE) AS expires,
        CAST(split.value[5] AS JSONB) AS config, CAST(split.value[6] AS TEXT) AS late_policy,
        CAST(split.value[7] AS TEXT) AS timezone, CAST(split.value[8] AS BOOLEAN) AS gated,
        CAST(split.value[9] AS TEXT) AS note, CAST(split.value[10] AS TEXT) AS to_fate
    FROM (
        SELECT string_to_array(line, E'\t', E'\x02') AS value
        FROM unnest(string_to_array(:moves::VARCHAR, E'\n')) AS line
        OFFSET 0
    ) AS split
) AS moves
JOIN workflow_wait_executions ON workflow_wait_executions.id = moves.id
  AND workflow_wait_executions.updated_at = moves.seen_at
WHERE workflow_wait_executions.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
