-- note_next
-- Note which open wait comes next, of those that were stored. SQLite only.

UPDATE workflow_recurrences
SET status='active', occurrence=noted.number, next_at=noted.scheduled_at, wait_id=noted.id,
    updated_at=:now
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS "of",
        json_extract(value, '$[2]') AS number, substr(json_extract(value, '$[3]'), 1,
        26) AS scheduled_at
    FROM json_each(:noted)
) AS noted
WHERE workflow_recurrences.id = noted."of";
