-- find_id-recurrence
-- The id, if there is one.

SELECT workflow_recurrences.id
FROM workflow_recurrences
WHERE workflow_recurrences.id = :id;
