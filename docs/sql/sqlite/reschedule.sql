-- reschedule
-- Give the wanted waits another instant, if they are scheduled for the one expected. Locks the waits by id.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
INSERT INTO waitctl_claimed (id, from_status, scheduled_at, config, late_policy, timezone, reason)
SELECT workflow_wait_executions.id, workflow_wait_executions.status AS from_status,
    wanted.scheduled_at, wanted.config, wanted.late_policy, wanted.timezone, wanted.reason
FROM workflow_wait_executions
JOIN (
    SELECT json_extract(value, '$."id"') AS id, substr(json_extract(value, '$."expected_at"'), 1,
        26) AS expected_at, substr(json_extract(value, '$."scheduled_at"'), 1, 26) AS scheduled_at,
        json_extract(value, '$."config"') AS config, json_extract(value,
        '$."late_policy"') AS late_policy, json_extract(value, '$."timezone"') AS timezone,
        json_extract(value, '$."reason"') AS reason
    FROM json_each(:wanted)
) AS wanted ON workflow_wait_executions.id = wanted.id
WHERE workflow_wait_executions.status = 'scheduled'
  AND workflow_wait_executions.scheduled_at = wanted.expected_at
ORDER BY workflow_wait_executions.id;

-- moved
UPDATE workflow_wait_executions
SET scheduled_at=waitctl_claimed.scheduled_at, timezone=waitctl_claimed.timezone,
    wait_config=waitctl_claimed.config, updated_at=:now, late_policy=waitctl_claimed.late_policy
FROM waitctl_claimed
WHERE workflow_wait_executions.id = waitctl_claimed.id
  AND workflow_wait_executions.status = 'scheduled';

-- audited
INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data, id)
SELECT waitctl_claimed.id, :now AS anon_1, waitctl_claimed.from_status, 'scheduled' AS anon_2,
    waitctl_claimed.reason, :actor AS anon_3, :data AS anon_4, (
    SELECT coalesce(max(rowid), 0) AS coalesce_1
    FROM workflow_wait_transitions
) + row_number() OVER () AS id
FROM waitctl_claimed;

-- recurring
UPDATE workflow_recurrences
SET next_at=waitctl_claimed.scheduled_at
FROM waitctl_claimed
WHERE workflow_recurrences.wait_id = waitctl_claimed.id;

-- told
SELECT waitctl_claimed.id
FROM waitctl_claimed;
