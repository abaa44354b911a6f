-- count_ended_since
-- How many waits have ended lately.

SELECT (
    SELECT count(*) AS count_1
    FROM (
        SELECT 1
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.resolved_at >= :now::TIMESTAMP WITH TIME ZONE
        ORDER BY workflow_wait_executions.resolved_at
        LIMIT 10001
    ) AS anon_2
) AS anon_1;
