-- find_earlier-beyond
-- Events of a listener's topic that are as it asks, the oldest first: beyond a mark, or among those that are given.
--
-- Those that it may not have are among them where a condition will be asked: what it says holds for ever, and they may
-- be free again. The topic is given, too, so that the index has them in their order.

SELECT workflow_event_listeners.wait_id, workflow_event_listeners.id AS listener_id,
    workflow_event_listeners.exclusive, workflow_event_listeners.gated,
    workflow_event_listeners.group_no, workflow_events.id AS event_id, workflow_events.received_at,
    workflow_wait_executions.timezone, CASE WHEN workflow_event_listeners.gated
    THEN workflow_wait_executions.wait_config END AS wait_config,
    (workflow_events.expires_at IS NULL
    OR workflow_events.expires_at > :now::TIMESTAMP WITH TIME ZONE)
  AND workflow_events.received_at >= workflow_event_listeners.since_at
  AND (workflow_event_listeners.expires_at IS NULL
      OR workflow_events.received_at < workflow_event_listeners.expires_at
      AND (workflow_events.received_at < workflow_event_listeners.timeout_at
      OR workflow_events.occurred_at < workflow_event_listeners.timeout_at))
  AND NOT (EXISTS (
    SELECT 1
    FROM workflow_event_listeners AS taker
    JOIN workflow_wait_executions AS earlier ON earlier.id = taker.wait_id
    WHERE taker.matched_event_id = workflow_events.id
      AND (taker.exclusive AND (earlier.resolution IN ('due', 'event', 'manual')
          OR earlier.status = 'scheduled') OR earlier.resolution IN ('due', 'event', 'manual')
          AND earlier.workflow_execution_id = workflow_wait_executions.workflow_execution_id)
))
  AND NOT (EXISTS (
    SELECT 1
    FROM workflow_listener_matches
    JOIN workflow_wait_executions AS counter ON counter.id = workflow_listener_matches.wait_id
    WHERE workflow_listener_matches.event_id = workflow_events.id
      AND counter.resolution IN ('due', 'event', 'manual')
      AND counter.workflow_execution_id = workflow_wait_executions.workflow_execution_id
)) AS may_have
FROM workflow_events
JOIN workflow_event_listeners ON workflow_events.contact_id = workflow_event_listeners.contact_id
  AND workflow_events.event_type = workflow_event_listeners.event_type
JOIN workflow_wait_executions ON workflow_wait_executions.id = workflow_event_listeners.wait_id
WHERE workflow_event_listeners.id = :listener_id::UUID
  AND workflow_events.contact_id = :contact_id::VARCHAR
  AND workflow_events.event_type = :event_type::VARCHAR
  AND workflow_events.received_at >= :at::TIMESTAMP WITH TIME ZONE
  AND (workflow_events.received_at > :at::TIMESTAMP WITH TIME ZONE
      OR workflow_events.id > :beyond::UUID)
  AND workflow_event_listeners.status = 'active'
  AND workflow_wait_executions.status = 'waiting'
  AND (workflow_event_listeners.match IS NULL OR NOT (EXISTS (
    SELECT 1
    FROM jsonb_each_text(workflow_event_listeners.match) AS pair
    WHERE coalesce(jsonb_typeof((workflow_events.data #> string_to_array(pair.key, '.'))),
        'null') IN ('null', 'object', 'array')
      OR (workflow_events.data #>> string_to_array(pair.key, '.')) != pair.value
)))
  AND (workflow_event_listeners.match_json IS NULL
      OR (workflow_events.data @> workflow_event_listeners.match_json))
  AND (NOT workflow_event_listeners.human OR NOT (workflow_events.data @> '{"machine":true}'))
  AND (workflow_event_listeners."where" IS NOT NULL OR (workflow_events.expires_at IS NULL
      OR workflow_events.expires_at > :now::TIMESTAMP WITH TIME ZONE)
      AND workflow_events.received_at >= workflow_event_listeners.since_at
      AND (workflow_event_listeners.expires_at IS NULL
      OR workflow_events.received_at < workflow_event_listeners.expires_at
      AND (workflow_events.received_at < workflow_event_listeners.timeout_at
      OR workflow_events.occurred_at < workflow_event_listeners.timeout_at)) AND NOT (EXISTS (
    SELECT 1
    FROM workflow_event_listeners AS taker
    JOIN workflow_wait_executions AS earlier ON earlier.id = taker.wait_id
    WHERE taker.matched_event_id = workflow_events.id
      AND (taker.exclusive AND (earlier.resolution IN ('due', 'event', 'manual')
          OR earlier.status = 'scheduled') OR earlier.resolution IN ('due', 'event', 'manual')
          AND earlier.workflow_execution_id = workflow_wait_executions.workflow_execution_id)
)) AND NOT (EXISTS (
    SELECT 1
    FROM workflow_listener_matches
    JOIN workflow_wait_executions AS counter ON counter.id = workflow_listener_matches.wait_id
    WHERE workflow_listener_matches.event_id = workflow_events.id
      AND counter.resolution IN ('due', 'event', 'manual')
      AND counter.workflow_execution_id = workflow_wait_executions.workflow_execution_id
)))
ORDER BY workflow_events.received_at, workflow_events.id
LIMIT :most::INTEGER;
