-- lock_grouped-events
-- Lock the grouped waits that these events may fit, by id and before all others; and count them.

SELECT count(*) AS count_1
FROM (
    SELECT workflow_wait_executions.id AS id
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.id = ANY (ARRAY(
        SELECT workflow_event_listeners.wait_id
        FROM workflow_events
        JOIN workflow_event_listeners
            ON workflow_events.contact_id = workflow_event_listeners.contact_id
          AND workflow_events.event_type = workflow_event_listeners.event_type
        JOIN workflow_wait_executions
            ON workflow_wait_executions.id = workflow_event_listeners.wait_id
        WHERE workflow_events.id = ANY (ARRAY(
            SELECT wanted.id
            FROM jsonb_to_recordset(CAST(:wanted::VARCHAR AS JSONB)) AS wanted(id UUID)
        ))
          AND workflow_event_listeners.status = 'active'
          AND workflow_wait_executions.status = 'waiting'
          AND (workflow_events.expires_at IS NULL
              OR workflow_events.expires_at > :now::TIMESTAMP WITH TIME ZONE)
          AND workflow_events.received_at >= workflow_event_listeners.since_at
          AND (workflow_event_listeners.expires_at IS NULL
              OR workflow_events.received_at < workflow_event_listeners.expires_at
              AND (workflow_events.received_at < workflow_event_listeners.timeout_at
              OR workflow_events.occurred_at < workflow_event_listeners.timeout_at))
          AND (workflow_event_listeners.match IS NULL OR NOT (EXISTS (
            SELECT 1
            FROM jsonb_each_text(workflow_event_listeners.match) AS pair
            WHERE coalesce(jsonb_typeof((workflow_events.data #> string_to_array(pair.key, '.'))),
                'null') IN ('null', 'object', 'array')
              OR (workflow_events.data #>> string_to_array(pair.key, '.')) != pair.value
        )))
          AND (workflow_event_listeners.match_json IS NULL
              OR (workflow_events.data @> workflow_event_listeners.match_json))
          AND (NOT workflow_event_listeners.human
              OR NOT (workflow_events.data @> '{"machine":true}'))
          AND NOT (EXISTS (
            SELECT 1
            FROM workflow_event_listeners AS taker
            JOIN workflow_wait_executions AS earlier ON earlier.id = taker.wait_id
            WHERE taker.matched_event_id = workflow_events.id
              AND (taker.exclusive AND (earlier.resolution IN ('due', 'event', 'manual')
                  OR earlier.status = 'scheduled') OR earlier.resolution IN ('due', 'event',
                  'manual')
                  AND earlier.workflow_execution_id = workflow_wait_executions.workflow_execution_id)
        ))
          AND NOT (EXISTS (
            SELECT 1
            FROM workflow_listener_matches
            JOIN workflow_wait_executions AS counter
                ON counter.id = workflow_listener_matches.wait_id
            WHERE workflow_listener_matches.event_id = workflow_events.id
              AND counter.resolution IN ('due', 'event', 'manual')
              AND counter.workflow_execution_id = workflow_wait_executions.workflow_execution_id
        ))
          AND workflow_event_listeners.group_no > 0
    ))
      AND workflow_wait_executions.status = 'waiting'
    ORDER BY workflow_wait_executions.id
    FOR UPDATE
) AS locked;
