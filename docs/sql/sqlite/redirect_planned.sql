-- redirect_planned
-- Give the waits of a batch that listen and nobody has touched their new deadline, or the old one back.
--
-- Locks the waits by id, then their listeners. Their topics are locked.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
INSERT INTO waitctl_claimed (id, from_status, timeout_at, expires_at, config, late_policy, timezone,
    gated, reason)
SELECT workflow_wait_executions.id, workflow_wait_executions.status AS from_status,
    workflow_wait_plan_entries.due_after AS timeout_at,
    workflow_wait_plan_entries.expires_after AS expires_at,
    workflow_wait_plan_entries.config_after AS config,
    workflow_wait_plan_entries.late_policy_after AS late_policy,
    workflow_wait_plan_entries.timezone_after AS timezone,
    workflow_wait_plan_entries.gated_after AS gated,
    :reason || coalesce(': ' || workflow_wait_plan_entries.note, '') AS reason
FROM workflow_wait_plan_entries
JOIN workflow_wait_executions ON workflow_wait_executions.id = workflow_wait_plan_entries.wait_id
WHERE workflow_wait_plan_entries.plan_id = :plan
  AND workflow_wait_plan_entries.wait_id > :beyond
  AND workflow_wait_plan_entries.wait_id <= :last
  AND workflow_wait_plan_entries.fate IS NULL
  AND workflow_wait_executions.updated_at = workflow_wait_plan_entries.seen_at
  AND NOT (EXISTS (
    SELECT *
    FROM workflow_wait_transitions
    WHERE workflow_wait_transitions.wait_id = workflow_wait_executions.id
      AND workflow_wait_transitions.id > workflow_wait_plan_entries.last_line
))
  AND workflow_wait_executions.status = 'waiting'
  AND (workflow_wait_plan_entries.due_after IS NULL OR workflow_wait_plan_entries.due_after > :now)
ORDER BY workflow_wait_executions.id;

-- moved
UPDATE workflow_wait_executions
SET timeout_at=waitctl_claimed.timeout_at, timezone=waitctl_claimed.timezone,
    wait_config=waitctl_claimed.config, updated_at=:now, late_policy=waitctl_claimed.late_policy
FROM waitctl_claimed
WHERE workflow_wait_executions.id = waitctl_claimed.id
  AND workflow_wait_executions.status = 'waiting';

-- audited
INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data, id)
SELECT waitctl_claimed.id, :now AS anon_1, waitctl_claimed.from_status, 'waiting' AS anon_2,
    waitctl_claimed.reason, :actor AS anon_3, :data AS anon_4, (
    SELECT coalesce(max(rowid), 0) AS coalesce_1
    FROM workflow_wait_transitions
) + row_number() OVER () AS id
FROM waitctl_claimed;

-- listening
UPDATE workflow_event_listeners
SET gated=waitctl_claimed.gated, timeout_at=waitctl_claimed.timeout_at,
    expires_at=waitctl_claimed.expires_at
FROM waitctl_claimed
WHERE workflow_event_listeners.wait_id = waitctl_claimed.id;

-- noted
UPDATE workflow_wait_plan_entries
SET seen_at=:now, fate=:fate
WHERE workflow_wait_plan_entries.plan_id = :plan
  AND workflow_wait_plan_entries.wait_id > :beyond
  AND workflow_wait_plan_entries.wait_id <= :last
  AND workflow_wait_plan_entries.wait_id IN (
    SELECT waitctl_claimed.id
    FROM waitctl_claimed
);

-- told
SELECT waitctl_claimed.id
FROM waitctl_claimed;
