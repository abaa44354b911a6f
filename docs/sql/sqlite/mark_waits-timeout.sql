-- mark_waits-timeout
-- Give the waits of the wanted deliveries the status that follows from these. Locks the waits by id.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
INSERT INTO waitctl_claimed (id, from_status)
SELECT workflow_wait_executions.id, workflow_wait_executions.status AS from_status
FROM workflow_wait_executions
WHERE workflow_wait_executions.id IN (
    SELECT workflow_wait_deliveries.wait_id
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.id IN (
        SELECT wanted.id
        FROM (
            SELECT json_extract(value, '$."id"') AS id
            FROM json_each(:wanted)
        ) AS wanted
    )
      AND workflow_wait_deliveries.dead_delivery_id IS NULL
)
  AND workflow_wait_executions.status IN ('error')
  AND workflow_wait_executions.resolution IN ('timeout')
  AND NOT (EXISTS (
    SELECT *
    FROM workflow_wait_deliveries AS other
    WHERE other.wait_id = workflow_wait_executions.id
      AND other.status = 'dead'
      AND other.dead_delivery_id IS NULL
))
ORDER BY workflow_wait_executions.id;

-- marked
UPDATE workflow_wait_executions
SET status='timeout', updated_at=:now
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

-- told
SELECT waitctl_claimed.id
FROM waitctl_claimed;
