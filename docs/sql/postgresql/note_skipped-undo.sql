-- note_skipped-undo
-- Note why these waits of a batch were left as they are.

UPDATE workflow_wait_plan_entries
SET undone_fate=:to_fate::VARCHAR
WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
  AND workflow_wait_plan_entries.wait_id > :beyond::UUID
  AND workflow_wait_plan_entries.wait_id <= :last::UUID
  AND workflow_wait_plan_entries.wait_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
