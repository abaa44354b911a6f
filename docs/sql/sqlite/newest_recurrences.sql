-- newest_recurrences
-- The newest recurrences, for a shell to complete their ids.

SELECT workflow_recurrences.id, workflow_recurrences.workflow_execution_id,
    workflow_recurrences.step_id, workflow_recurrences.status
FROM workflow_recurrences
ORDER BY workflow_recurrences.id DESC
LIMIT 500
OFFSET :param_1;
