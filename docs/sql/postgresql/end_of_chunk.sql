-- end_of_chunk
-- When the last wait of a chunk of those that ended did so.

SELECT workflow_wait_executions.resolved_at
FROM workflow_wait_executions
WHERE workflow_wait_executions.resolved_at >= :since::TIMESTAMP WITH TIME ZONE
ORDER BY workflow_wait_executions.resolved_at
LIMIT :param_1::INTEGER
OFFSET :limit::INTEGER;
