-- end_recurrences-pause
-- Give open recurrences another status than active.

UPDATE workflow_recurrences
SET status=:to_status::VARCHAR, status_reason=:reason::VARCHAR,
    next_at=:next_at::TIMESTAMP WITH TIME ZONE, wait_id=:wait_id::UUID,
    updated_at=:now::TIMESTAMP WITH TIME ZONE
WHERE workflow_recurrences.status IN ('active', 'paused')
  AND workflow_recurrences.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
