-- resume_matching-wait
-- Every wait that takes one event, and that Python has no say in, takes the oldest that fits it.
--
-- Locks the waits by id, then their listeners.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
WITH fit AS (
    SELECT workflow_event_listeners.wait_id AS wait_id, workflow_event_listeners.id AS listener_id,
        workflow_events.id AS event_id, replace(workflow_events.received_at, ' ',
        'T') || 'Z' || CAST(workflow_events.id AS TEXT) || CAST(workflow_event_listeners.id AS TEXT) AS age
    FROM workflow_events
    JOIN workflow_event_listeners
        ON workflow_events.contact_id = workflow_event_listeners.contact_id
      AND workflow_events.event_type = workflow_event_listeners.event_type
    JOIN workflow_wait_executions ON workflow_wait_executions.id = workflow_event_listeners.wait_id
    WHERE workflow_event_listeners.wait_id IN (
        SELECT wanted.id
        FROM (
            SELECT json_extract(value, '$."id"') AS id
            FROM json_each(:wanted)
        ) AS wanted
    )
      AND workflow_event_listeners.status = 'active'
      AND workflow_wait_executions.status = 'waiting'
      AND (workflow_events.expires_at IS NULL OR workflow_events.expires_at > :now)
      AND workflow_events.received_at >= workflow_event_listeners.since_at
      AND (workflow_event_listeners.expires_at IS NULL
          OR workflow_events.received_at < workflow_event_listeners.expires_at
          AND (workflow_events.received_at < workflow_event_listeners.timeout_at
          OR workflow_events.occurred_at < workflow_event_listeners.timeout_at))
      AND (workflow_event_listeners."match" IS NULL OR waitctl_matches_text(workflow_events.data,
          workflow_event_listeners."match"))
      AND (workflow_event_listeners.match_json IS NULL OR waitctl_contains(workflow_events.data,
          workflow_event_listeners.match_json))
      AND (workflow_event_listeners.human = 0 OR NOT waitctl_contains(workflow_events.data,
          '{"machine":true}'))
      AND NOT (EXISTS (
        SELECT 1
        FROM workflow_event_listeners AS taker
        JOIN workflow_wait_executions AS earlier ON earlier.id = taker.wait_id
        WHERE taker.matched_event_id = workflow_events.id
          AND (taker."exclusive" = 1 AND (earlier.resolution IN ('due', 'event', 'manual')
              OR earlier.status = 'scheduled') OR earlier.resolution IN ('due', 'event', 'manual')
              AND earlier.workflow_execution_id = workflow_wait_executions.workflow_execution_id)
    ))
      AND NOT (EXISTS (
        SELECT 1
        FROM workflow_listener_matches
        JOIN workflow_wait_executions AS counter ON counter.id = workflow_listener_matches.wait_id
        WHERE workflow_listener_matches.event_id = workflow_events.id
          AND counter.resolution IN ('due', 'event', 'manual')
          AND counter.workflow_execution_id = workflow_wait_executions.workflow_execution_id
    ))
      AND workflow_event_listeners.group_no <= 0
      AND NOT (workflow_event_listeners."exclusive" = 1 OR workflow_event_listeners.gated = 1
          OR workflow_event_listeners."where" IS NOT NULL)
)
INSERT INTO waitctl_claimed (id, from_status, handler, event_id, listener_id)
SELECT workflow_wait_executions.id, workflow_wait_executions.status AS from_status,
    coalesce(CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_1) AS VARCHAR),
    workflow_wait_executions.handler) AS handler, fit.event_id, fit.listener_id
FROM workflow_wait_executions
JOIN fit ON fit.wait_id = workflow_wait_executions.id
WHERE workflow_wait_executions.status = 'waiting'
  AND (fit.age IN (
    SELECT min(fit.age) AS min_1
    FROM fit
    GROUP BY fit.wait_id
)) IS 1
ORDER BY workflow_wait_executions.id;

-- ended
UPDATE workflow_wait_executions
SET status='resumed', updated_at=:now, resolved_at=:now, resolution='event',
    resolution_event_id=waitctl_claimed.event_id
FROM waitctl_claimed
WHERE workflow_wait_executions.id = waitctl_claimed.id
  AND workflow_wait_executions.status = waitctl_claimed.from_status;

-- audited
INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data, id)
SELECT waitctl_claimed.id, :now AS anon_1, waitctl_claimed.from_status, 'resumed' AS anon_2,
    :reason || CAST(waitctl_claimed.event_id AS TEXT) AS anon_3, :actor AS anon_4, :data AS anon_5,
    (
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
SET status=CAST(CASE WHEN (workflow_event_listeners.id = waitctl_claimed.listener_id) THEN 'matched'
    ELSE 'cancelled' END AS VARCHAR(9)), matched_event_id=CASE
    WHEN (workflow_event_listeners.id = waitctl_claimed.listener_id)
    THEN waitctl_claimed.event_id END, matched_at=CASE
    WHEN (workflow_event_listeners.id = waitctl_claimed.listener_id) THEN :now END
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
    waitctl_claimed.handler, 'event' AS anon_1, 'pending' AS anon_2, 0, :now AS anon_3,
    :now AS anon__1
FROM waitctl_claimed
WHERE waitctl_claimed.handler IS NOT NULL;

-- told
SELECT waitctl_claimed.id, waitctl_claimed.event_id
FROM waitctl_claimed;
