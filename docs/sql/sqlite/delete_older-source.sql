-- delete_older-source
-- Forget what came into quarantine before an instant: of one source, or of all but some.

DELETE FROM workflow_event_quarantine
WHERE workflow_event_quarantine.received_at < :before
  AND workflow_event_quarantine.source = :of;
