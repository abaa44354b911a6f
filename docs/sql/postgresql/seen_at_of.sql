-- seen_at_of
-- When a plan last saw, or changed, these of its waits.

SELECT workflow_wait_plan_entries.wait_id, workflow_wait_plan_entries.seen_at
FROM workflow_wait_plan_entries
WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
  AND workflow_wait_plan_entries.wait_id = ANY (CAST(string_to_array(:ids::VARCHAR,
      E'\n') AS UUID[]));
