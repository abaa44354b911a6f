-- orphans
-- Deliveries without a wait, listeners without an open one, waits for an event without a listener.
--
-- Of the deliveries that are not through, of the listeners that expire first, of the waits that are open: as many as
-- are counted. What is lost stays at the front, where nothing takes it away.

SELECT (
    SELECT count(*) AS count_1
    FROM (
        SELECT workflow_wait_deliveries.wait_id AS wait_id
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'pending'
        LIMIT 10001
    ) AS pending_ones
    WHERE NOT (EXISTS (
        SELECT *
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.id = pending_ones.wait_id
    ))
) + (
    SELECT count(*) AS count_2
    FROM (
        SELECT workflow_wait_deliveries.wait_id AS wait_id
        FROM workflow_wait_deliveries
        WHERE workflow_wait_deliveries.status = 'running'
        LIMIT 10001
    ) AS running_ones
    WHERE NOT (EXISTS (
        SELECT *
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.id = running_ones.wait_id
    ))
) AS anon_1, (
    SELECT count(*) AS count_3
    FROM (
        SELECT workflow_event_listeners.wait_id AS wait_id
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.status = 'active'
        ORDER BY workflow_event_listeners.expires_at
        LIMIT 10001
    ) AS listening_ones
    WHERE NOT (EXISTS (
        SELECT *
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.id = listening_ones.wait_id
          AND workflow_wait_executions.status IN ('waiting', 'scheduled')
    ))
) AS anon_2, (
    SELECT count(*) AS count_4
    FROM (
        SELECT workflow_wait_executions.id AS id, workflow_wait_executions.status AS status
        FROM workflow_wait_executions
        WHERE workflow_wait_executions.status IN ('waiting', 'scheduled')
        LIMIT 10001
    ) AS opened
    WHERE opened.status = 'waiting'
      AND NOT (EXISTS (
        SELECT *
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.wait_id = opened.id
          AND workflow_event_listeners.status = 'active'
    ))
) AS anon_3;
