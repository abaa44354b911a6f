-- time_out_expired
-- End those of the wanted waits that have expired. Locks the waits by id, past the locked ones.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
INSERT INTO waitctl_claimed (id, from_status, handler, due_at)
SELECT workflow_wait_executions.id, workflow_wait_executions.status AS from_status,
    coalesce(CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_1) AS VARCHAR),
    workflow_wait_executions.handler) AS handler, workflow_wait_executions.timeout_at AS due_at
FROM workflow_wait_executions
WHERE workflow_wait_executions.id IN (
    SELECT wanted.id
    FROM (
        SELECT json_extract(value, '$."id"') AS id
        FROM json_each(:wanted)
    ) AS wanted
)
  AND workflow_wait_executions.status = 'waiting'
  AND (EXISTS (
    SELECT *
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.wait_id = workflow_wait_executions.id
      AND workflow_event_listeners.status = 'active'
      AND workflow_event_listeners.expires_at <= :now
))
  AND NOT (EXISTS (
    SELECT 1
    FROM workflow_event_listeners AS heard
    JOIN workflow_events ON workflow_events.contact_id = heard.contact_id
      AND workflow_events.event_type = heard.event_type
    WHERE heard.wait_id = workflow_wait_executions.id
      AND workflow_events.correlated_at IS NULL
))
ORDER BY workflow_wait_executions.id;

-- ended
UPDATE workflow_wait_executions
SET status='timeout', updated_at=:now, resolved_at=:now, resolution='timeout',
    late_seconds=CAST((julianday(:now) - julianday(waitctl_claimed.due_at)) * 86400 + 0.0005 AS INTEGER)
FROM waitctl_claimed
WHERE workflow_wait_executions.id = waitctl_claimed.id
  AND workflow_wait_executions.status = waitctl_claimed.from_status;

-- audited
INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data, id)
SELECT waitctl_claimed.id, :now AS anon_1, waitctl_claimed.from_status, 'timeout' AS anon_2,
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

-- closed
UPDATE workflow_event_listeners
SET status='expired'
FROM waitctl_claimed
WHERE workflow_event_listeners.wait_id = waitctl_claimed.id
  AND workflow_event_listeners.status = 'active';

-- sent
INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt,
    next_attempt_at, created_at)
SELECT printf('%08x-%04x-7%03x-%04x-%012x',
    CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
    CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535, abs(random() % 4096),
    32768 + abs(random() % 16384), abs(random() % 281474976710656)) AS new_id_1, waitctl_claimed.id,
    waitctl_claimed.handler, 'timeout' AS anon_1, 'pending' AS anon_2, 0, :now AS anon_3,
    :now AS anon__1
FROM waitctl_claimed
WHERE waitctl_claimed.handler IS NOT NULL;

-- told
SELECT count(*) AS count_1
FROM waitctl_claimed;
