-- insert_events_and_sum_up
-- Insert the events that are new; name those that are not, and those that may be listened for. PostgreSQL only.
--
-- There all but the exceptions stays: to fetch a row an event would cost as much as a third of its insert.

WITH given AS (
    SELECT given.id AS id, given.event_type AS event_type, given.contact_id AS contact_id,
        given.data AS data, given.source AS source, given.external_id AS external_id,
        given.occurred_at AS occurred_at, given.expires_at AS expires_at
    FROM (
        SELECT CAST(split.value[1] AS UUID) AS id, CAST(split.value[2] AS TEXT) AS event_type,
            CAST(split.value[3] AS TEXT) AS contact_id, CAST(split.value[4] AS JSONB) AS data,
            CAST(split.value[5] AS TEXT) AS source, CAST(split.value[6] AS TEXT) AS external_id,
            CAST(split.value[7] AS TIMESTAMP WITH TIME ZONE) AS occurred_at,
            CAST(split.value[8] AS TIMESTAMP WITH TIME ZONE) AS expires_at
        FROM (
            SELECT string_to_array(line, E'\t', E'\x02') AS value
            FROM unnest(string_to_array(:given::VARCHAR, E'\n')) AS line
            OFFSET 0
        ) AS split
    ) AS given
), stored AS (
    INSERT INTO workflow_events (id, event_type, contact_id, data, source, external_id, occurred_at,
        expires_at, received_at, correlated_at)
    SELECT given.id AS id, given.event_type AS event_type, given.contact_id AS contact_id,
        given.data AS data, given.source AS source, given.external_id AS external_id,
        given.occurred_at AS occurred_at, given.expires_at AS expires_at,
        :now::TIMESTAMP WITH TIME ZONE AS anon_2, :now::TIMESTAMP WITH TIME ZONE AS anon__1
    FROM given
    WHERE (
        SELECT true AS anon_3
        FROM waitctl_tombstones
        WHERE waitctl_tombstones.kind = 'event_id'
        LIMIT 1
    ) IS NULL
      OR (
        SELECT true AS anon_3
        FROM waitctl_tombstones
        WHERE waitctl_tombstones.kind = 'event_id'
          AND waitctl_tombstones.scope = given.source
          AND waitctl_tombstones.key = given.external_id
        LIMIT 1
    ) IS NULL
    ON CONFLICT DO NOTHING
    RETURNING workflow_events.id, workflow_events.contact_id, workflow_events.event_type
)
SELECT CASE WHEN ((
    SELECT count(*) AS count_1
    FROM stored
) < (
    SELECT count(*) AS count_2
    FROM given
)) THEN (
    SELECT array_agg(CAST(given.id AS TEXT)) AS array_agg_1
    FROM given
    WHERE (given.id NOT IN (
        SELECT stored.id
        FROM stored
    ))
) END AS anon_1, (
    SELECT array_agg(CAST(stored.id AS TEXT)) AS array_agg_2
    FROM stored
    WHERE (
        SELECT true AS anon_3
        FROM workflow_event_listeners
        WHERE workflow_event_listeners.contact_id = stored.contact_id
          AND workflow_event_listeners.event_type = stored.event_type
          AND workflow_event_listeners.status = 'active'
        LIMIT 1
    )
) AS anon_4;
