-- note_next
-- Note which open wait comes next, by those that were stored. SQLite only.

UPDATE workflow_recurrences
SET status='active', occurrence=given.number, next_at=given.scheduled_at, wait_id=given.id,
    updated_at=:now
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS "of",
        json_extract(value, '$[2]') AS number, json_extract(value, '$[3]') AS idempotency_key,
        json_extract(value, '$[4]') AS wait_type, substr(json_extract(value, '$[5]'), 1,
        26) AS scheduled_at, json_extract(value, '$[6]') AS timezone, json_extract(value,
        '$[7]') AS wait_config, json_extract(value, '$[8]') AS late_policy
    FROM json_each(:given)
) AS given, workflow_wait_executions
WHERE workflow_recurrences.id = given."of"
  AND workflow_wait_executions.id = given.id;
