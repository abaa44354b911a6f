-- look_back-events-after
-- How far back a look goes: the id that so many newer ones come before.

SELECT workflow_events.id
FROM workflow_events
WHERE workflow_events.id < :after::UUID
ORDER BY workflow_events.id DESC
LIMIT 1
OFFSET 10000;
