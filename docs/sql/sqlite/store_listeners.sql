-- store_listeners
-- The listeners of the waits that were stored. SQLite only.

INSERT INTO workflow_event_listeners (id, wait_id, contact_id, event_type, "match", match_json,
    "where", "exclusive", gated, human, group_no, needed, "distinct", status, since_at, timeout_at,
    expires_at)
SELECT listening.id, listening.wait_id, listening.contact_id, listened.event_type, listened."match",
    listened.match_json, listened."where", listened."exclusive", listened.gated, listened.human,
    listened.group_no, listened.needed, listened."distinct", listened.status, listened.since_at,
    listened.timeout_at, listened.expires_at
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS wait_id,
        json_extract(value, '$[2]') AS "plan", json_extract(value, '$[3]') AS place,
        json_extract(value, '$[4]') AS contact_id
    FROM json_each(:listening)
) AS listening
JOIN (
    SELECT json_extract(value, '$."event_type"') AS event_type, json_extract(value,
        '$."match"') AS "match", json_extract(value, '$."match_json"') AS match_json,
        json_extract(value, '$."where"') AS "where", json_extract(value,
        '$."exclusive"') AS "exclusive", json_extract(value, '$."gated"') AS gated,
        json_extract(value, '$."human"') AS human, json_extract(value, '$."group_no"') AS group_no,
        json_extract(value, '$."needed"') AS needed, json_extract(value,
        '$."distinct"') AS "distinct", json_extract(value, '$."status"') AS status,
        substr(json_extract(value, '$."since_at"'), 1, 26) AS since_at, substr(json_extract(value,
        '$."timeout_at"'), 1, 26) AS timeout_at, substr(json_extract(value, '$."expires_at"'), 1,
        26) AS expires_at, json_extract(value, '$."plan"') AS "plan", json_extract(value,
        '$."place"') AS place
    FROM json_each(:listened)
) AS listened ON listened."plan" = listening."plan"
  AND listened.place = listening.place
WHERE EXISTS (
    SELECT *
    FROM workflow_wait_executions
    WHERE workflow_wait_executions.id = listening.wait_id
);
