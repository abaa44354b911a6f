-- note_next
-- Note which open wait comes next, by those that were stored. SQLite only.

UPDATE workflow_recurrences
SET status='active', occurrence=given.number, next_at=given.scheduled_at, wait_id=given.id,
    updated_at=:now::TIMESTAMP WITH TIME ZONE
FROM (
    SELECT CAST(split.value[1] AS UUID) AS id, CAST(split.value[2] AS UUID) AS "of",
        CAST(split.value[3] AS INTEGER) AS number, CAST(split.value[4] AS TEXT) AS idempotency_key,
        CAST(split.value[5] AS workflow_wait_type) AS wait_type,
        CAST(split.value[6] AS TIMESTAMP WITH TIME ZONE) AS scheduled_at,
        CAST(split.value[7] AS TEXT) AS timezone, CAST(split.value[8] AS JSONB) AS wait_config,
        CAST(split.value[9] AS TEXT) AS late_policy
    FROM (
        SELECT string_to_array(line, E'\t', E'\x02') AS value
        FROM unnest(string_to_array(:given::VARCHAR, E'\n')) AS line
        OFFSET 0
    ) AS split
) AS given, workflow_wait_executions
WHERE workflow_recurrences.id = given."of"
  AND workflow_wait_executions.id = given.id;
