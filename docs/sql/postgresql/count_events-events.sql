-- count_events-events
-- Count the events that fit grouped waits, the oldest first. Locks nothing: `lock_grouped` has.

INSERT INTO workflow_listener_matches (wait_id, listener_id, event_id, group_no, distinct_value,
    received_at, matched_at)
SELECT ranked.wait_id, ranked.listener_id, ranked.event_id, ranked.group_no, ranked.distinct_value,
    ranked.received_at, :now::TIMESTAMP WITH TIME ZONE AS anon_1
FROM (
    SELECT once.wait_id AS wait_id, once.listener_id AS listener_id, once.event_id AS event_id,
        once.group_no AS group_no, once.needed AS needed, once.distinct_value AS distinct_value,
        once.received_at AS received_at, once.place AS place,
        row_number() OVER (PARTITION BY once.wait_id, once.group_no ORDER BY once.received_at,
        once.event_id) AS rank
    FROM (
        SELECT fit.wait_id AS wait_id, fit.listener_id AS listener_id, fit.event_id AS event_id,
            fit.group_no AS group_no, fit.needed AS needed, fit.distinct_value AS distinct_value,
            fit.received_at AS received_at, row_number() OVER (PARTITION BY fit.wait_id,
            fit.group_no, coalesce(fit.distinct_value,
            CAST(fit.event_id AS TEXT)) ORDER BY fit.received_at, fit.event_id) AS place
        FROM (
            SELECT workflow_event_listeners.wait_id AS wait_id,
                workflow_event_listeners.id AS listener_id, workflow_events.id AS event_id,
                workflow_event_listeners.group_no AS group_no,
                workflow_event_listeners.needed AS needed, CASE
                WHEN coalesce(jsonb_typeof((workflow_events.data #> string_to_array(workflow_event_listeners."distinct",
                '.'))), 'null') IN ('null', 'object', 'array') THEN NULL
                WHEN length((workflow_events.data #>> string_to_array(workflow_event_listeners."distinct",
                '.'))) <= 64
                THEN (workflow_events.data #>> string_to_array(workflow_event_listeners."distinct",
                '.')) ELSE concat('sha256:',
                encode(sha256(convert_to((workflow_events.data #>> string_to_array(workflow_event_listeners."distinct",
                '.')), 'UTF8')), 'hex')) END AS distinct_value,
                workflow_events.received_at AS received_at
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
                WHERE coalesce(jsonb_typeof((workflow_events.data #> string_to_array(pair.key,
                    '.'))), 'null') IN ('null', 'object', 'array')
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
              AND workflow_event_listeners."where" IS NULL
              AND NOT (EXISTS (
                SELECT *
                FROM workflow_listener_matches
                WHERE workflow_listener_matches.wait_id = workflow_event_listeners.wait_id
                  AND workflow_listener_matches.event_id = workflow_events.id
            ))
              AND (workflow_event_listeners."distinct" IS NULL OR CASE
                  WHEN coalesce(jsonb_typeof((workflow_events.data #> string_to_array(workflow_event_listeners."distinct",
                  '.'))), 'null') IN ('null', 'object', 'array') THEN NULL
                  WHEN length((workflow_events.data #>> string_to_array(workflow_event_listeners."distinct",
                  '.'))) <= 64
                  THEN (workflow_events.data #>> string_to_array(workflow_event_listeners."distinct",
                  '.')) ELSE concat('sha256:',
                  encode(sha256(convert_to((workflow_events.data #>> string_to_array(workflow_event_listeners."distinct",
                  '.')), 'UTF8')), 'hex')) END IS NOT NULL)
        ) AS fit
        WHERE fit.distinct_value IS NULL
          OR NOT (EXISTS (
            SELECT *
            FROM workflow_listener_matches
            WHERE workflow_listener_matches.wait_id = fit.wait_id
              AND workflow_listener_matches.group_no = fit.group_no
              AND workflow_listener_matches.distinct_value = fit.distinct_value
        ))
    ) AS once
    WHERE once.place = :place_1::INTEGER
) AS ranked
WHERE ranked.rank <= ranked.needed - (
    SELECT count(*) AS count_1
    FROM workflow_listener_matches
    WHERE workflow_listener_matches.wait_id = ranked.wait_id
      AND workflow_listener_matches.group_no = ranked.group_no
);
