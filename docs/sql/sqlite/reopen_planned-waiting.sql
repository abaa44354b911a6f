-- reopen_planned-waiting
-- Open the waits of a batch again that nobody has touched since they were cancelled, and whose step is free.
--
-- A recurring one only if its recurrence can go on with it.
-- Locks the waits by id, then their listeners. Their topics are locked.

-- cleared
DELETE FROM waitctl_claimed;

-- claimed
INSERT INTO waitctl_claimed (id, from_status)
SELECT workflow_wait_executions.id, workflow_wait_executions.status AS from_status
FROM workflow_wait_plan_entries
JOIN workflow_wait_executions ON workflow_wait_executions.id = workflow_wait_plan_entries.wait_id
WHERE workflow_wait_plan_entries.plan_id = :plan
  AND workflow_wait_plan_entries.wait_id > :beyond
  AND workflow_wait_plan_entries.wait_id <= :last
  AND workflow_wait_plan_entries.fate = :param_1
  AND workflow_wait_plan_entries.undone_fate IS NULL
  AND workflow_wait_executions.updated_at = workflow_wait_plan_entries.seen_at
  AND (
    SELECT count(*) AS count_1
    FROM workflow_wait_transitions
    WHERE workflow_wait_transitions.wait_id = workflow_wait_executions.id
      AND workflow_wait_transitions.id > workflow_wait_plan_entries.last_line
) = 1
  AND workflow_wait_executions.status = 'cancelled'
  AND workflow_wait_plan_entries.from_status = 'waiting'
  AND NOT (EXISTS (
    SELECT *
    FROM workflow_wait_executions AS other
    WHERE other.workflow_execution_id = workflow_wait_executions.workflow_execution_id
      AND other.step_id = workflow_wait_executions.step_id
      AND other.status IN ('waiting', 'scheduled')
      AND other.id != workflow_wait_executions.id
))
  AND (CAST(JSON_EXTRACT(workflow_wait_executions.wait_config, :wait_config_1) AS VARCHAR) IS NULL
      OR (EXISTS (
    SELECT *
    FROM workflow_recurrences
    WHERE workflow_recurrences.id = CAST(CAST(JSON_EXTRACT(workflow_wait_executions.wait_config,
        :wait_config_1) AS VARCHAR) AS VARCHAR(36))
      AND workflow_recurrences.occurrence = CAST(JSON_EXTRACT(workflow_wait_executions.wait_config,
          :wait_config_2) AS INTEGER)
      AND workflow_recurrences.status = 'stopped'
      AND workflow_recurrences.status_reason = 'its wait was cancelled'
)) AND NOT (EXISTS (
    SELECT *
    FROM workflow_recurrences
    WHERE workflow_recurrences.workflow_execution_id = workflow_wait_executions.workflow_execution_id
      AND workflow_recurrences.step_id = workflow_wait_executions.step_id
      AND workflow_recurrences.status IN ('active', 'paused')
)))
ORDER BY workflow_wait_executions.id;

-- reopened
UPDATE workflow_wait_executions
SET status='waiting', updated_at=:now, resolved_at=NULL, resolution=NULL
FROM waitctl_claimed
WHERE workflow_wait_executions.id = waitctl_claimed.id
  AND workflow_wait_executions.status = 'cancelled';

-- audited
INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor, data, id)
SELECT waitctl_claimed.id, :now AS anon_1, waitctl_claimed.from_status, 'waiting' AS anon_2,
    :reason AS anon_3, :actor AS anon_4, :data AS anon_5, (
    SELECT coalesce(max(rowid), 0) AS coalesce_1
    FROM workflow_wait_transitions
) + row_number() OVER () AS id
FROM waitctl_claimed;

-- noted
UPDATE workflow_wait_plan_entries
SET seen_at=:now, undone_fate=:undone_fate
WHERE workflow_wait_plan_entries.plan_id = :plan
  AND workflow_wait_plan_entries.wait_id > :beyond
  AND workflow_wait_plan_entries.wait_id <= :last
  AND workflow_wait_plan_entries.wait_id IN (
    SELECT waitctl_claimed.id
    FROM waitctl_claimed
);

-- forgotten
DELETE FROM waitctl_uncounted
WHERE waitctl_uncounted.wait_id IN (
    SELECT waitctl_claimed.id
    FROM waitctl_claimed
);

-- listening
UPDATE workflow_event_listeners
SET status='active'
FROM waitctl_claimed
WHERE workflow_event_listeners.wait_id = waitctl_claimed.id
  AND workflow_event_listeners.status = 'cancelled'
  AND NOT (EXISTS (
    SELECT *
    FROM workflow_event_listeners AS other
    WHERE other.wait_id = workflow_event_listeners.wait_id
      AND other.group_no = workflow_event_listeners.group_no
      AND other.status = 'matched'
));

-- told
SELECT waitctl_claimed.id
FROM waitctl_claimed;
