-- newest_quarantined
-- The newest payloads in quarantine, for a shell to complete their ids.

SELECT workflow_event_quarantine.id, workflow_event_quarantine.source,
    workflow_event_quarantine.code
FROM workflow_event_quarantine
ORDER BY workflow_event_quarantine.id DESC
LIMIT 500
OFFSET :param_1;
