-- note_following
-- Note the open wait that comes next.

UPDATE workflow_recurrences
SET status=:status::VARCHAR, occurrence=:number::INTEGER, next_at=:at::TIMESTAMP WITH TIME ZONE,
    wait_id=:wait::UUID, updated_at=:now::TIMESTAMP WITH TIME ZONE
WHERE workflow_recurrences.id = :of::UUID;
