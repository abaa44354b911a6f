-- insert_moves
-- The waits of a plan and where they are to go, but those that have changed since they were looked at.

INSERT INTO workflow_wait_plan_entries (plan_id, wait_id, from_status, seen_at, last_line,
    due_before, expires_before, config_before, late_policy_before, timezone_before, gated_before,
    due_after, expires_after, config_after, late_policy_after, timezone_after, gated_after, note,
    fate)
SELECT :plan AS anon_1, workflow_wait_executions.id, workflow_wait_executions.status,
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
    OFFSET :param_2
) END AS anon_2, workflow_wait_executions.wait_config, workflow_wait_executions.late_policy,
    workflow_wait_executions.timezone, CASE WHEN (workflow_wait_executions.status = 'waiting')
    THEN (
    SELECT workflow_event_listeners.gated
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.wait_id = workflow_wait_executions.id
    LIMIT 1
    OFFSET :param_3
) END AS anon_3, moves.due, moves.expires, moves.config, moves.late_policy AS late_policy_1,
    moves.timezone AS timezone_1, moves.gated, moves.note, moves.to_fate
FROM (
    SELECT json_extract(value, '$[0]') AS id, substr(json_extract(value, '$[1]'), 1, 26) AS seen_at,
        substr(json_extract(value, '$[2]'), 1, 26) AS due, substr(json_extract(value, '$[3]'), 1,
        26) AS expires, json_extract(value, '$[4]') AS config, json_extract(value,
        '$[5]') AS late_policy, json_extract(value, '$[6]') AS timezone, json_extract(value,
        '$[7]') AS gated, json_extract(value, '$[8]') AS note, json_extract(value,
        '$[9]') AS to_fate
    FROM json_each(:moves)
) AS moves
JOIN workflow_wait_executions ON workflow_wait_executions.id = moves.id
  AND workflow_wait_executions.updated_at = moves.seen_at
WHERE TRUE;
