-- note_ended
-- These waits of a plan were ended with others.

UPDATE workflow_wait_plan_entries
SET seen_at=:now, fate=:fate
WHERE workflow_wait_plan_entries.plan_id = :plan
  AND workflow_wait_plan_entries.wait_id IN (
    SELECT value
    FROM json_each(:ids)
);
