-- resume_and_lease
-- Resume due waits, and lease as many deliveries as handlers have room for. Locks as `resume_due`.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
INSERT INTO waitctl_claimed (id, from_status, handler, due_at, event_id, scheduled_at, delivery_id,
    of_handler, attempt, max_attempts, lease_until)
SELECT heard.id, heard.from_status, heard.handler, heard.due_at, heard.event_id, heard.scheduled_at,
    printf('%08x-%04x-7%03x-%04x-%012x',
    CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) >> 16,
    CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) & 65535, abs(random() % 4096),
    32768 + abs(random() % 16384), abs(random() % 281474976710656)) AS delivery_id,
    heard.handler AS of_handler, CASE WHEN (capacities.begins >= heard.place) THEN 1
    ELSE 0 END AS attempt, capacities.most_attempts AS max_attempts, capacities.lease_until
FROM (
    SELECT claimed.id AS id, claimed.from_status AS from_status, claimed.handler AS handler,
        claimed.due_at AS due_at, claimed.event_id AS event_id,
        claimed.scheduled_at AS scheduled_at,
        row_number() OVER (PARTITION BY claimed.handler ORDER BY claimed.due_at) AS place
    FROM (
        SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status,
            coalesce(CASE WHEN (workflow_wait_executions.resolution_event_id IS NULL)
            THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_1) AS VARCHAR)
            ELSE CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_2) AS VARCHAR) END,
            workflow_wait_executions.handler) AS handler, CASE
            WHEN (workflow_wait_executions.late_policy IS NOT NULL)
            THEN coalesce(substr(replace(replace(json_extract(workflow_wait_executions.wait_config,
            '$.first_due_at'), 'T', ' '), 'Z', '.000000'), 1, 26),
            workflow_wait_executions.scheduled_at)
            ELSE workflow_wait_executions.scheduled_at END AS due_at,
            workflow_wait_executions.resolution_event_id AS event_id,
            workflow_wait_executions.scheduled_at AS scheduled_at
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.status = 'scheduled'
          AND workflow_wait_executions.scheduled_at <= :now
          AND (workflow_wait_executions.late_policy IS NULL
              OR workflow_wait_executions.scheduled_at >= :late_before)
          AND (workflow_wait_executions.scheduled_at, workflow_wait_executions.id) > (:low_at,
              :low_id)
        ORDER BY workflow_wait_executions.scheduled_at, workflow_wait_executions.id
        LIMIT :limit
        OFFSET :param_2
    ) AS claimed
) AS heard
LEFT OUTER JOIN (
    SELECT json_extract(value, '$."handler"') AS handler, json_extract(value, '$."room"') AS room,
        json_extract(value, '$."begins"') AS begins, substr(json_extract(value, '$."lease_until"'),
        1, 26) AS lease_until, json_extract(value, '$."most_attempts"') AS most_attempts
    FROM json_each(:capacities)
) AS capacities ON capacities.handler = heard.handler
  AND capacities.room >= heard.place
  AND heard.event_id IS NULL;

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
INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt, claims,
    max_attempts, lease_expires_at, next_attempt_at, created_at)
SELECT waitctl_claimed.delivery_id, waitctl_claimed.id, waitctl_claimed.of_handler, CAST(CASE
    WHEN (waitctl_claimed.event_id IS NULL) THEN 'due' ELSE 'event' END AS VARCHAR(7)) AS anon_1,
    CAST(CASE WHEN (waitctl_claimed.lease_until IS NOT NULL) THEN 'running'
    ELSE 'pending' END AS VARCHAR(9)) AS anon_2, waitctl_claimed.attempt, CASE
    WHEN (waitctl_claimed.lease_until IS NOT NULL) THEN 1 ELSE 0 END AS anon_3,
    waitctl_claimed.max_attempts, waitctl_claimed.lease_until, :now AS anon_4, :now AS anon__1
FROM waitctl_claimed
WHERE waitctl_claimed.of_handler IS NOT NULL;

-- told
SELECT one.ended, one.up_to_at, one.up_to_id, one.may_recur, leased.delivery_id, leased.of_handler,
    leased.attempt, leased.max_attempts, leased.id, leased.workflow_id,
    leased.workflow_execution_id, leased.step_id, leased.contact_id, leased.wait_type,
    leased.status, leased.scheduled_at, leased.timeout_at, leased.timezone, leased.wait_config,
    leased.context, leased.handler, leased.handlers, leased.command, leased.idempotency_key,
    leased.created_at, leased.updated_at, leased.resolved_at, leased.resolution,
    leased.resolution_event_id, leased.late_seconds
FROM (
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
    OFFSET :param_2
) AS one
LEFT OUTER JOIN (
    SELECT ended.delivery_id AS delivery_id, ended.of_handler AS of_handler,
        ended.attempt AS attempt, ended.max_attempts AS max_attempts, ended.id AS id,
        ended.workflow_id AS workflow_id, ended.workflow_execution_id AS workflow_execution_id,
        ended.step_id AS step_id, ended.contact_id AS contact_id, ended.wait_type AS wait_type,
        ended.status AS status, ended.scheduled_at AS scheduled_at, ended.timeout_at AS timeout_at,
        ended.timezone AS timezone, ended.wait_config AS wait_config, ended.context AS context,
        ended.handler AS handler, ended.handlers AS handlers, ended.command AS command,
        ended.idempotency_key AS idempotency_key, ended.created_at AS created_at,
        ended.updated_at AS updated_at, ended.resolved_at AS resolved_at,
        ended.resolution AS resolution, ended.resolution_event_id AS resolution_event_id,
        ended.late_seconds AS late_seconds
    FROM (
        SELECT waitctl_claimed.delivery_id AS delivery_id, waitctl_claimed.of_handler AS of_handler,
            waitctl_claimed.attempt AS attempt, waitctl_claimed.max_attempts AS max_attempts,
            waitctl_claimed.lease_until AS lease_until, workflow_wait_executions.id AS id,
            workflow_wait_executions.workflow_id AS workflow_id,
            workflow_wait_executions.workflow_execution_id AS workflow_execution_id,
            workflow_wait_executions.step_id AS step_id,
            workflow_wait_executions.contact_id AS contact_id,
            workflow_wait_executions.wait_type AS wait_type,
            workflow_wait_executions.status AS status,
            replace(workflow_wait_executions.scheduled_at, ' ', 'T') || 'Z' AS scheduled_at,
            replace(workflow_wait_executions.timeout_at, ' ', 'T') || 'Z' AS timeout_at,
            workflow_wait_executions.timezone AS timezone,
            CAST(workflow_wait_executions.wait_config AS TEXT) AS wait_config,
            CAST(workflow_wait_executions.context AS TEXT) AS context,
            workflow_wait_executions.handler AS handler,
            CAST(workflow_wait_executions.handlers AS TEXT) AS handlers,
            CAST(workflow_wait_executions.command AS TEXT) AS command,
            workflow_wait_executions.idempotency_key AS idempotency_key,
            replace(workflow_wait_executions.created_at, ' ', 'T') || 'Z' AS created_at,
            replace(workflow_wait_executions.updated_at, ' ', 'T') || 'Z' AS updated_at,
            replace(workflow_wait_executions.resolved_at, ' ', 'T') || 'Z' AS resolved_at,
            workflow_wait_executions.resolution AS resolution,
            workflow_wait_executions.resolution_event_id AS resolution_event_id,
            workflow_wait_executions.late_seconds AS late_seconds
        FROM waitctl_claimed, workflow_wait_executions
        WHERE workflow_wait_executions.id = waitctl_claimed.id
    ) AS ended
    WHERE ended.lease_until IS NOT NULL
) AS leased ON 1 = 1;
