-- count_fates
-- What became of the waits of these plans, by plan and fate.

SELECT workflow_wait_plan_entries.plan_id, workflow_wait_plan_entries.fate,
    workflow_wait_plan_entries.undone_fate, count(*) AS count_1
FROM workflow_wait_plan_entries
WHERE workflow_wait_plan_entries.plan_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
))
GROUP BY workflow_wait_plan_entries.plan_id, workflow_wait_plan_entries.fate,
    workflow_wait_plan_entries.undone_fate;
