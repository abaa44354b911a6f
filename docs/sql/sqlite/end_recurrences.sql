-- end_recurrences
-- Give open recurrences another status than active.

UPDATE workflow_recurrences
SET status=:to_status, status_reason=:reason, next_at=:next_at, wait_id=:wait_id,
    stop_wait_id=:stop_wait_id, updated_at=:now
WHERE workflow_recurrences.status IN ('active', 'paused')
  AND workflow_recurrences.id IN (
    SELECT value
    FROM json_each(:ids)
);
