-- endings_of
-- How these waits have ended, as the totals tell them apart; and whether they are in them, up to a mark.

SELECT 'ended' AS measure, substr(replace(workflow_wait_executions.resolved_at, ' ', 'T') || 'Z',
    :substr_1, :substr_2) AS day, coalesce(workflow_wait_executions.workflow_id, '') AS workflow_id,
    CAST(workflow_wait_executions.wait_type AS TEXT) AS wait_type,
    workflow_wait_executions.step_id AS step_id, coalesce(CASE
    WHEN (workflow_wait_executions.resolution = 'due')
    THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_1) AS VARCHAR)
    WHEN (workflow_wait_executions.resolution = 'event')
    THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_2) AS VARCHAR)
    WHEN (workflow_wait_executions.resolution = 'timeout')
    THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_3) AS VARCHAR)
    WHEN (workflow_wait_executions.resolution = 'manual')
    THEN CAST(JSON_EXTRACT(workflow_wait_executions.handlers, :handlers_4) AS VARCHAR) END,
    workflow_wait_executions.handler, '') AS handler, '' AS source,
    CAST(workflow_wait_executions.resolution AS TEXT) AS outcome, CAST(0 AS INTEGER) AS bucket,
    0 AS value, workflow_wait_executions.id, workflow_wait_executions.resolved_at < :until
  AND coalesce((
    SELECT 1 AS anon_1
    FROM waitctl_uncounted
    WHERE waitctl_uncounted.wait_id = workflow_wait_executions.id
    LIMIT 1
    OFFSET :param_5
), 0) = 0 AS is_counted
FROM workflow_wait_executions
WHERE workflow_wait_executions.id IN (
    SELECT value
    FROM json_each(:ids)
);
