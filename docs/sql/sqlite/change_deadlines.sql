-- change_deadlines
-- Give the wanted waits another deadline or window. Locks the waits by id, then their listeners.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
INSERT INTO waitctl_claimed (id, from_status, timeout_at, expires_at, gated, config, late_policy,
    timezone, reason)
SELECT workflow_wait_executions.id, workflow_wait_executions.status AS from_status,
    wanted.timeout_at, wanted.expires_at, wanted.gated, wanted.config, wanted.late_policy,
    wanted.timezone, wanted.reason
FROM workflow_wait_executions
JOIN (
    SELECT json_extract(value, '$."id"') AS id, substr(json_extract(value, '$."timeout_at"'), 1,
        26) AS timeout_at, substr(json_extract(value, '$."expires_at"'), 1, 26) AS expires_at,
        json_extract(value, '$."gated"') AS gated, json_extract(value, '$."config"') AS config,
        json_extract(value, '$."late_policy"') AS late_policy, json_extract(value,
        '$."timezone"') AS timezone, json_extract(value, '$."reason"') AS reason
    FROM json_each(:wanted)
) AS wanted ON workflow_wait_executions.id = wanted.id
WHERE workflow_wait_executions.status = 'waiting'
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

-- told
SELECT waitctl_claimed.id
FROM waitctl_claimed;
