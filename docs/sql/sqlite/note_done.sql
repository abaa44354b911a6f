-- note_done
-- Note what was done to these waits of a plan, and how they are from now on.

UPDATE workflow_wait_plan_entries
SET seen_at=:now, last_line=coalesce((
    SELECT max(workflow_wait_transitions.id) AS max_1
    FROM workflow_wait_transitions
    WHERE workflow_wait_transitions.wait_id = workflow_wait_plan_entries.wait_id
), 0), fate=:fate
WHERE workflow_wait_plan_entries.plan_id = :plan
  AND workflow_wait_plan_entries.wait_id IN (
    SELECT value
    FROM json_each(:ids)
);
