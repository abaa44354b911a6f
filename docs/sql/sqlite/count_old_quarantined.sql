-- count_old_quarantined
-- How many payloads were kept long ago.

SELECT count(*) AS count_1
FROM workflow_event_quarantine
WHERE workflow_event_quarantine.received_at < :before;
