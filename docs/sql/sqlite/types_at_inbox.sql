-- types_at_inbox
-- Whether an event of these types is yet to be correlated.

SELECT 1
FROM workflow_events
WHERE workflow_events.correlated_at IS NULL
  AND workflow_events.event_type IN (
    SELECT value
    FROM json_each(:types)
)
LIMIT 1
OFFSET :param_1;
