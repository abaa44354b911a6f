-- resume_due
-- Resume the waits that have been due longest. Locks them in that order, past the locked ones.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
INSERT INTO waitctl_claimed (id, from_status, handler, due_at, event_id, scheduled_at)
SELECT workflow_wait_executions.id, workflow_wait_executions.status AS from_status, coalesce(CASE
    WHEN (workflow_wait_executions.resolution_event_id IS NULL)
    THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_1) AS VARCHAR)
    ELSE CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_2) AS VARCHAR) END,
    workflow_wait_executions.handler) AS handler, CASE
    WHEN (workflow_wait_executions.late_policy IS NOT NULL)
    THEN coalesce(substr(replace(replace(json_extract(workflow_wait_executions.wait_config,
    '$.first_due_at'), 'T', ' '), 'Z', '.000000'), 1, 26), workflow_wait_executions.scheduled_at)
    ELSE workflow_wait_executions.scheduled_at END AS due_at,
    workflow_wait_executions.resolution_event_id AS event_id, workflow_wait_executions.scheduled_at
FROM workflow_wait_executions
WHERE workflow_wait_executions.status = 'scheduled'
  AND workflow_wait_executions.scheduled_at <= :now
  AND (workflow_wait_executions.late_policy IS NULL
      OR workflow_wait_executions.scheduled_at >= :late_before)
  AND (workflow_wait_executions.scheduled_at, workflow_wait_executions.id) > (:low_at, :low_id)
ORDER BY workflow_wait_executions.scheduled_at, workflow_wait_executions.id
LIMIT :limit
OFFSET :param_2;

-- ended
UPDATE workflow_wait_executions
SET status='resumed', updated_at=:now, resolved_at=:now, resolution=CAST(CASE
    WHEN (waitctl_claimed.event_id IS NULL) THEN 'due' ELSE 'event' END AS VARCHAR(9)),
    late_seconds=CAST((julianday(:now) - julianday(waitctl_claimed.due_at)) * 86400 + 0.0005 AS INTEGER)
FROM waitctl_claimed
WHERE workflow_wait_executions.id = waitctl_claimed.id
  AND 1 = 1
  AND workflow_wait_executions.status = waitctl_claimed.from_status;

-- audited
INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data, id)
SELECT waitctl_claimed.id, :now AS anon_1, waitctl_claimed.from_status, 'resumed' AS anon_2,
    :reason AS anon_3, :actor AS anon_4, :data AS anon_5, (
    SELECT coalesce(max(rowid), 0) AS coalesce_1
    FROM workflow_wait_transitions
) + row_number() OVER () AS id
FROM waitctl_claimed;

-- uncounted
INSERT INTO waitctl_uncounted (wait_id)
SELECT waitctl_claimed.id
FROM waitctl_claimed
WHERE (
    SELECT :now < (
        SELECT waitctl_upkeep.until_at
        FROM waitctl_upkeep
        WHERE waitctl_upkeep.name = 'waits'
    )
      OR CAST((julianday(strftime('%Y-%m-%d %H:%M:%f000',
          'now')) - julianday(:now)) * 86400 + 0.0005 AS INTEGER) > 60 AS anon_1
)
ON CONFLICT DO NOTHING;

-- sent
INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt,
    next_attempt_at, created_at)
SELECT printf('%08x-%04x-7%03x-%04x-%012x',
    CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
    CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535, abs(random() % 4096),
    32768 + abs(random() % 16384), abs(random() % 281474976710656)) AS new_id_1, waitctl_claimed.id,
    waitctl_claimed.handler, CAST(CASE WHEN (waitctl_claimed.event_id IS NULL) THEN 'due'
    ELSE 'event' END AS VARCHAR(7)) AS anon_1, 'pending' AS anon_2, 0, :now AS anon_3,
    :now AS anon__1
FROM waitctl_claimed
WHERE waitctl_claimed.handler IS NOT NULL;

-- told
SELECT (
    SELECT count(*) AS count_1
    FROM waitctl_claimed
) AS ended, waitctl_claimed.scheduled_at AS up_to_at, waitctl_claimed.id AS up_to_id, EXISTS (
    SELECT 1
    FROM workflow_recurrences
    WHERE workflow_recurrences.status = 'active'
      AND workflow_recurrences.next_at >= :low_at
      AND workflow_recurrences.next_at <= :now
) AS may_recur
FROM waitctl_claimed
ORDER BY waitctl_claimed.scheduled_at DESC, waitctl_claimed.id DESC
LIMIT 1
OFFSET :param_2;
