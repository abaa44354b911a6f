-- count_held
-- How many deliveries wait for a handler that is none of these, or are of a workflow that is paused.

SELECT count(*) AS count_1
FROM workflow_wait_deliveries
WHERE workflow_wait_deliveries.status IN ('pending', 'running')
  AND ((workflow_wait_deliveries.handler NOT IN (
    SELECT names.name
    FROM (
        SELECT json_extract(value, '$."name"') AS name
        FROM json_each(:names)
    ) AS names
)) OR (EXISTS (
    SELECT *
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.id = workflow_wait_deliveries.wait_id
      AND workflow_wait_executions.workflow_id IN ('billing')
)));
