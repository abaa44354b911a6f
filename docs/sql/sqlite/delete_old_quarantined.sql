-- delete_old_quarantined
-- Forget payloads that were kept long ago.

DELETE FROM workflow_event_quarantine
WHERE workflow_event_quarantine.received_at < :before;
