-- insert_events
-- Insert the events that are new, and name them. SQLite only, where a CTE may not write.

INSERT INTO workflow_events (id, event_type, contact_id, data, source, external_id, occurred_at,
    expires_at, received_at, correlated_at)
SELECT given.id, given.event_type, given.contact_id, given.data, given.source, given.external_id,
    given.occurred_at, given.expires_at, :now AS anon_1, :now AS anon__1
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS event_type,
        json_extract(value, '$[2]') AS contact_id, json_extract(value, '$[3]') AS data,
        json_extract(value, '$[4]') AS source, json_extract(value, '$[5]') AS external_id,
        substr(json_extract(value, '$[6]'), 1, 26) AS occurred_at, substr(json_extract(value,
        '$[7]'), 1, 26) AS expires_at
    FROM json_each(:given)
) AS given
WHERE (
    SELECT 1 AS anon_2
    FROM waitctl_tombstones
    WHERE waitctl_tombstones.kind = 'event_id'
    LIMIT 1
    OFFSET :param_1
) IS NULL
  OR (
    SELECT 1 AS anon_2
    FROM waitctl_tombstones
    WHERE waitctl_tombstones.kind = 'event_id'
      AND waitctl_tombstones.scope = given.source
      AND waitctl_tombstones."key" = given.external_id
    LIMIT 1
    OFFSET :param_2
) IS NULL
ON CONFLICT DO NOTHING
RETURNING id;
