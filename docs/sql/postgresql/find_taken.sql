-- find_taken
-- The waits with the keys of new waits, and the open waits of their steps.

SELECT claims.id, (
    SELECT workflow_wait_executions.id
    FROM workflow_wait_executions
    WHERE coalesce(workflow_wait_executions.workflow_id, '') = claims.workflow_id
      AND workflow_wait_executions.idempotency_key = claims.key
) AS by_key, (
    SELECT workflow_wait_executions.id
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.workflow_execution_id = claims.workflow_execution_id
      AND workflow_wait_executions.step_id = claims.step_id
      AND workflow_wait_executions.status IN ('waiting', 'scheduled')
) AS by_step
FROM (
    SELECT CAST(split.value[1] AS UUID) AS id,
        CAST(split.value[2] AS TEXT) AS workflow_execution_id,
        CAST(split.value[3] AS TEXT) AS step_id, CAST(split.value[4] AS TEXT) AS workflow_id,
        CAST(split.value[5] AS TEXT) AS key
    FROM (
        SELECT string_to_array(line, E'\t', E'\x02') AS value
        FROM unnest(string_to_array(:claims::VARCHAR, E'\n')) AS line
        OFFSET 0
    ) AS split
) AS claims;
