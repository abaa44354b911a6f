-- find_taken
-- The waits with the keys of new waits, and the open waits of their steps.

SELECT claims.id, (
    SELECT workflow_wait_executions.id
    FROM workflow_wait_executions
    WHERE coalesce(workflow_wait_executions.workflow_id, '') = claims.workflow_id
      AND workflow_wait_executions.idempotency_key = claims."key"
) AS by_key, (
    SELECT workflow_wait_executions.id
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.workflow_execution_id = claims.workflow_execution_id
      AND workflow_wait_executions.step_id = claims.step_id
      AND workflow_wait_executions.status IN ('waiting', 'scheduled')
) AS by_step
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS workflow_execution_id,
        json_extract(value, '$[2]') AS step_id, json_extract(value, '$[3]') AS workflow_id,
        json_extract(value, '$[4]') AS "key"
    FROM json_each(:claims)
) AS claims;
