-- end_planned-cancel
-- End the waits of a batch that nobody has touched. Locks the waits by id, then their listeners.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
INSERT INTO waitctl_claimed (id, from_status, handler)
SELECT workflow_wait_executions.id, workflow_wait_executions.status AS from_status,
    coalesce(CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_1) AS VARCHAR),
    workflow_wait_executions.handler) AS handler
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
  AND workflow_wait_executions.status IN ('waiting', 'scheduled')
ORDER BY workflow_wait_executions.id;

-- ended
UPDATE workflow_wait_executions
SET status='cancelled', updated_at=:now, resolved_at=:now, resolution='cancelled'
FROM waitctl_claimed
WHERE workflow_wait_executions.id = waitctl_claimed.id
  AND workflow_wait_executions.status = waitctl_claimed.from_status;

-- audited
INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data, id)
SELECT waitctl_claimed.id, :now AS anon_1, waitctl_claimed.from_status, 'cancelled' AS anon_2,
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
SET status='cancelled'
FROM waitctl_claimed
WHERE workflow_event_listeners.wait_id = waitctl_claimed.id
  AND workflow_event_listeners.status = 'active';

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
