-- look_for_exceptions
-- How many of the types are registered, whether any id was pruned, and which contacts anything may listen for.

SELECT (
    SELECT count(*) AS count_1
    FROM workflow_event_types
    WHERE workflow_event_types.name = ANY (ARRAY(
        SELECT unnest(string_to_array(:types::VARCHAR, E'\n'))
    ))
) AS anon_1, (
    SELECT true AS anon_3
    FROM waitctl_tombstones
    WHERE waitctl_tombstones.kind = 'event_id'
      AND waitctl_tombstones.scope = ANY (ARRAY(
        SELECT unnest(string_to_array(:sources::VARCHAR, E'\n'))
    ))
      AND waitctl_tombstones.key = ANY (ARRAY(
        SELECT unnest(string_to_array(:ids::VARCHAR, E'\n'))
    ))
    LIMIT 1
) AS anon_2, (
    SELECT array_agg(DISTINCT workflow_event_listeners.contact_id) AS array_agg_1
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.contact_id = ANY (ARRAY(
        SELECT unnest(string_to_array(:contacts::VARCHAR, E'\n'))
    ))
      AND workflow_event_listeners.event_type = ANY (ARRAY(
        SELECT unnest(string_to_array(:types::VARCHAR, E'\n'))
    ))
      AND workflow_event_listeners.status = 'active'
) AS anon_4;
