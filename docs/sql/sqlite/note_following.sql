-- note_following
-- Note the open wait that comes next.

UPDATE workflow_recurrences
SET status=:status, occurrence=:number, next_at=:at, wait_id=:wait, updated_at=:now
WHERE workflow_recurrences.id = :of;
