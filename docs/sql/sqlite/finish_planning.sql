-- finish_planning
-- A plan is complete: it can be applied.

UPDATE workflow_wait_plans
SET status=:status, matched=(
    SELECT count(*) AS count_1
    FROM workflow_wait_plan_entries
    WHERE workflow_wait_plan_entries.plan_id = :plan
)
WHERE workflow_wait_plans.id = :plan;
