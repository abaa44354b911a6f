-- count_quarantined
-- How many payloads are in quarantine, up to a limit.

SELECT count(*) AS count_1
FROM (
    SELECT workflow_event_quarantine.id AS id
    FROM workflow_event_quarantine
    LIMIT 10000
    OFFSET :param_1
) AS some;
