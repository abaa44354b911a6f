-- events_not_yet
-- The events since the totals were filled, by source.

SELECT workflow_events.source, count(*) AS count_1
FROM workflow_events
WHERE workflow_events.id >= :first_id::UUID
GROUP BY workflow_events.source;
