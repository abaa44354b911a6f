-- defer_to_opening
-- Schedule waits, whose event came outside their window, for the next opening. No deadline ends them any more.
--
-- Locks the waits by id, then their listeners.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
INSERT INTO waitctl_claimed (id, from_status, handler, event_id, listener_id, scheduled_at, reason)
SELECT workflow_wait_executions.id, workflow_wait_executions.status AS from_status,
    coalesce(CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_1) AS VARCHAR),
    workflow_wait_executions.handler) AS handler, wanted.event_id, wanted.listener_id,
    wanted.scheduled_at, wanted.reason
FROM workflow_wait_executions
JOIN (
    SELECT json_extract(value, '$."id"') AS id, json_extract(value,
        '$."listener_id"') AS listener_id, json_extract(value, '$."event_id"') AS event_id,
        substr(json_extract(value, '$."scheduled_at"'), 1, 26) AS scheduled_at, json_extract(value,
        '$."reason"') AS reason
    FROM json_each(:wanted)
) AS wanted ON workflow_wait_executions.id = wanted.id
WHERE workflow_wait_executions.status = 'waiting'
ORDER BY workflow_wait_executions.id;

-- deferred
UPDATE workflow_wait_executions
SET status='scheduled', scheduled_at=waitctl_claimed.scheduled_at, timeout_at=NULL, updated_at=:now,
    resolution_event_id=waitctl_claimed.event_id
FROM waitctl_claimed
WHERE workflow_wait_executions.id = waitctl_claimed.id
  AND workflow_wait_executions.status = 'waiting';

-- audited
INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data, id)
SELECT waitctl_claimed.id, :now AS anon_1, waitctl_claimed.from_status, 'scheduled' AS anon_2,
    waitctl_claimed.reason, :actor AS anon_3, :data AS anon_4, (
    SELECT coalesce(max(rowid), 0) AS coalesce_1
    FROM workflow_wait_transitions
) + row_number() OVER () AS id
FROM waitctl_claimed;

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

-- told
SELECT waitctl_claimed.id
FROM waitctl_claimed;
