-- topics_of
-- The topics of the listeners of the waits of a batch.

SELECT DISTINCT workflow_event_listeners.event_type, workflow_event_listeners.contact_id
FROM workflow_wait_plan_entries
JOIN workflow_event_listeners
    ON workflow_event_listeners.wait_id = workflow_wait_plan_entries.wait_id
WHERE workflow_wait_plan_entries.plan_id = :plan
  AND workflow_wait_plan_entries.wait_id > :beyond
  AND workflow_wait_plan_entries.wait_id <= :last;
