-- end_of_events
-- The last event of a chunk, by the clock in its id.

SELECT workflow_events.id
FROM workflow_events
WHERE workflow_events.id >= :first_id
ORDER BY workflow_events.id
LIMIT :param_1
OFFSET :limit;
