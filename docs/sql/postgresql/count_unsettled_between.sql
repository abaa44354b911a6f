-- count_unsettled_between
-- How many deliveries are not through that the indexes have between these names of handlers.

SELECT CASE WHEN (gaps.before IS NULL) THEN (
    SELECT count(*) AS count_1
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.status = 'pending'
        AND workflow_wait_deliveries.handler > gaps.after
) + (
    SELECT count(*) AS count_2
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.status = 'running'
        AND workflow_wait_deliveries.handler > gaps.after
) ELSE (
    SELECT count(*) AS count_3
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.status = 'pending'
        AND workflow_wait_deliveries.handler > gaps.after
        AND workflow_wait_deliveries.handler < gaps.before
) + (
    SELECT count(*) AS count_4
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.status = 'running'
        AND workflow_wait_deliveries.handler > gaps.after
        AND workflow_wait_deliveries.handler < gaps.before
) END AS anon_1
FROM (
    SELECT names.name AS after, lead(names.name) OVER (ORDER BY names.name) AS before
    FROM jsonb_to_recordset(CAST(:names::VARCHAR AS JSONB)) AS names(name TEXT)
) AS gaps;
