-- claim_planned
-- The waits of a batch that nobody has touched, whatever is then done to them. Locks the waits by id.

WITH claimed AS (
    SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS from_status
    FROM workflow_wait_plan_entries
    JOIN workflow_wait_executions
        ON workflow_wait_executions.id = workflow_wait_plan_entries.wait_id
    WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
      AND workflow_wait_plan_entries.wait_id > :beyond::UUID
      AND workflow_wait_plan_entries.wait_id <= :last::UUID
      AND workflow_wait_plan_entries.fate IS NULL
      AND workflow_wait_executions.updated_at = workflow_wait_plan_entries.seen_at
      AND NOT (EXISTS (
        SELECT *
        FROM workflow_wait_transitions
        WHERE workflow_wait_transitions.wait_id = workflow_wait_executions.id
          AND workflow_wait_transitions.id > workflow_wait_plan_entries.last_line
    ))
    ORDER BY workflow_wait_executions.id
    FOR UPDATE OF workflow_wait_executions
), noted AS (
    UPDATE workflow_wait_plan_entries
    SET seen_at=:now::TIMESTAMP WITH TIME ZONE, fate=:param_1::VARCHAR
    WHERE workflow_wait_plan_entries.plan_id = :plan::UUID
      AND workflow_wait_plan_entries.wait_id > :beyond::UUID
      AND workflow_wait_plan_entries.wait_id <= :last::UUID
      AND workflow_wait_plan_entries.wait_id = ANY (ARRAY(
        SELECT claimed.id
        FROM claimed
    ))
)
SELECT claimed.id
FROM claimed;
