-- find_judged
-- The listeners of a wait that Python has a say in, and what each asks of an event.

SELECT workflow_event_listeners.id, workflow_event_listeners.event_type,
    workflow_event_listeners.contact_id, workflow_event_listeners.since_at,
    workflow_event_listeners.match, workflow_event_listeners.match_json,
    workflow_event_listeners.human, workflow_event_listeners."where",
    workflow_event_listeners.group_no, workflow_event_listeners.needed,
    workflow_event_listeners."distinct", CASE WHEN (workflow_event_listeners."where" IS NOT NULL)
    THEN workflow_wait_executions.context END AS context
FROM workflow_event_listeners
JOIN workflow_wait_executions ON workflow_wait_executions.id = workflow_event_listeners.wait_id
WHERE workflow_event_listeners.wait_id = :wait_id::UUID
  AND workflow_event_listeners.status = 'active'
  AND (workflow_event_listeners.exclusive OR workflow_event_listeners.gated
      OR workflow_event_listeners."where" IS NOT NULL)
  AND (workflow_event_listeners.group_no <= 0 OR workflow_event_listeners."where" IS NOT NULL)
ORDER BY workflow_event_listeners.id;
