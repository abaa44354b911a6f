-- endings_of
-- How these waits have ended, as the totals tell them apart; and whether they are in them, up to a mark.

SELECT 'ended' AS measure, substr(to_char(timezone('UTC', workflow_wait_executions.resolved_at),
    'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), :substr_1::INTEGER, :substr_2::INTEGER) AS day,
    coalesce(workflow_wait_executions.workflow_id, '') AS workflow_id,
    CAST(workflow_wait_executions.wait_type AS TEXT) AS wait_type,
    workflow_wait_executions.step_id AS step_id, coalesce(CASE
    WHEN (workflow_wait_executions.resolution = 'due')
    THEN CAST(workflow_wait_executions.handlers ->> :handlers_1::TEXT AS VARCHAR)
    WHEN (workflow_wait_executions.resolution = 'event')
    THEN CAST(workflow_wait_executions.handlers ->> :handlers_2::TEXT AS VARCHAR)
    WHEN (workflow_wait_executions.resolution = 'timeout')
    THEN CAST(workflow_wait_executions.handlers ->> :handlers_3::TEXT AS VARCHAR)
    WHEN (workflow_wait_executions.resolution = 'manual')
    THEN CAST(workflow_wait_executions.handlers ->> :handlers_4::TEXT AS VARCHAR) END,
    workflow_wait_executions.handler, '') AS handler, '' AS source,
    CAST(workflow_wait_executions.resolution AS TEXT) AS outcome, CAST(0 AS BIGINT) AS bucket,
    0 AS value, workflow_wait_executions.id,
    workflow_wait_executions.resolved_at < :until::TIMESTAMP WITH TIME ZONE
  AND NOT coalesce((
    SELECT true AS anon_1
    FROM waitctl_uncounted
    WHERE waitctl_uncounted.wait_id = workflow_wait_executions.id
    LIMIT 1
), false) AS is_counted
FROM workflow_wait_executions
WHERE workflow_wait_executions.id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
