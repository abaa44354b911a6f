-- note_ended
-- These waits of a plan were ended with others.

UPDATE workflow_wait_plan_entries
SET seen_at=:now::TIMESTAMP WITH TIME ZONE, fate=:fate::VARCHAR
WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
  AND workflow_wait_plan_entries.wait_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
