-- claim_oldest
-- The oldest events of the inbox table that nobody has correlated, past the locked ones. Locks them.

SELECT workflow_events.id, workflow_events.event_type, workflow_events.contact_id,
    workflow_events.source, workflow_events.external_id, workflow_events.occurred_at AS occurred_at,
    length(CAST(workflow_events.data AS BLOB)) AS anon_1, CASE
    WHEN (length(CAST(workflow_events.data AS BLOB)) <= 8192)
    THEN CAST(workflow_events.data AS TEXT) END AS anon_2
FROM workflow_events
WHERE workflow_events.correlated_at IS NULL
ORDER BY workflow_events.received_at
LIMIT :limit
OFFSET :param_1;
