-- insert_presumed_new
-- Insert events that are new, as a rule.

INSERT INTO workflow_events (id, event_type, contact_id, data, source, external_id, occurred_at,
    expires_at, received_at, correlated_at)
SELECT given.id, given.event_type, given.contact_id, given.data, given.source, given.external_id,
    given.occurred_at, given.expires_at, :now::TIMESTAMP WITH TIME ZONE AS anon_1,
    :now::TIMESTAMP WITH TIME ZONE AS anon__1
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
) AS given;
