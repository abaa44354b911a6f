-- note_done-undo
-- Note what was done to these waits of a plan, and how they are from now on.

UPDATE workflow_wait_plan_entries
SET seen_at=:now::TIMESTAMP WITH TIME ZONE, last_line=coalesce((
    SELECT max(workflow_wait_transitions.id) AS max_1
    FROM workflow_wait_transitions
    WHERE workflow_wait_transitions.wait_id = workflow_wait_plan_entries.wait_id
), 0), undone_fate=:undone_fate::VARCHAR
WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
  AND workflow_wait_plan_entries.wait_id = ANY (CAST(string_to_array(:ids::VARCHAR,
      E'\n') AS UUID[]));
