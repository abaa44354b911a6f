-- claim_uncorrelated
-- The oldest events of the inbox table that nobody has correlated, past the locked ones. Locks them.

SELECT workflow_events.id, workflow_events.event_type, workflow_events.contact_id
FROM workflow_events
WHERE workflow_events.correlated_at IS NULL
ORDER BY workflow_events.received_at
LIMIT :limit::INTEGER
FOR UPDATE SKIP LOCKED;
