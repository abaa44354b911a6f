-- find_id-quarantined
-- The id, if there is one.

SELECT workflow_event_quarantine.id
FROM workflow_event_quarantine
WHERE workflow_event_quarantine.id = :id::UUID;
