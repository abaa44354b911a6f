-- count_old_events
-- How many events were received long ago, and no wait refers to that is to stay.

SELECT count(*) AS count_1
FROM (
    SELECT workflow_events.id AS id
    FROM workflow_events
    WHERE workflow_events.id >= :first_id::UUID
      AND workflow_events.id < :last_id::UUID
      AND workflow_events.received_at < :before::TIMESTAMP WITH TIME ZONE
      AND workflow_events.correlated_at IS NOT NULL
      AND NOT (EXISTS (
        SELECT *
        FROM workflow_event_listeners, workflow_wait_executions
        WHERE workflow_event_listeners.matched_event_id = workflow_events.id
          AND workflow_wait_executions.id = workflow_event_listeners.wait_id
          AND (workflow_wait_executions.id NOT IN (
            SELECT workflow_wait_executions.id
            FROM workflow_wait_executions
            WHERE workflow_wait_executions.resolved_at >= :after::TIMESTAMP WITH TIME ZONE
              AND workflow_wait_executions.resolved_at < :before::TIMESTAMP WITH TIME ZONE
              AND NOT coalesce((
                SELECT true AS anon_2
                FROM workflow_wait_deliveries
                WHERE workflow_wait_deliveries.wait_id = workflow_wait_executions.id
                  AND workflow_wait_deliveries.status IN ('pending', 'running')
                LIMIT 1
            ), false)
        ))
    ))
      AND NOT (EXISTS (
        SELECT *
        FROM workflow_listener_matches, workflow_wait_executions
        WHERE workflow_listener_matches.event_id = workflow_events.id
          AND workflow_wait_executions.id = workflow_listener_matches.wait_id
          AND (workflow_wait_executions.id NOT IN (
            SELECT workflow_wait_executions.id
            FROM workflow_wait_executions
            WHERE workflow_wait_executions.resolved_at >= :after::TIMESTAMP WITH TIME ZONE
              AND workflow_wait_executions.resolved_at < :before::TIMESTAMP WITH TIME ZONE
              AND NOT coalesce((
                SELECT true AS anon_2
                FROM workflow_wait_deliveries
                WHERE workflow_wait_deliveries.wait_id = workflow_wait_executions.id
                  AND workflow_wait_deliveries.status IN ('pending', 'running')
                LIMIT 1
            ), false)
        ))
    ))
) AS anon_1;
