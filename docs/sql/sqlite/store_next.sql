-- store_next
-- Insert the waits that come next whose step and key are free, and name them. SQLite only.

INSERT INTO workflow_wait_executions (id, idempotency_key, wait_type, scheduled_at, timezone,
    wait_config, late_policy, workflow_id, workflow_execution_id, step_id, contact_id, context,
    handler, handlers, status, created_at, updated_at)
SELECT given.id, given.idempotency_key, given.wait_type, given.scheduled_at, given.timezone,
    given.wait_config, given.late_policy, workflow_recurrences.workflow_id,
    workflow_recurrences.workflow_execution_id, workflow_recurrences.step_id,
    workflow_recurrences.contact_id, workflow_recurrences.context, workflow_recurrences.handler,
    workflow_recurrences.handlers, 'scheduled' AS anon_1, :now AS anon_2, :now AS anon__1
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS "of",
        json_extract(value, '$[2]') AS number, json_extract(value, '$[3]') AS idempotency_key,
        json_extract(value, '$[4]') AS wait_type, substr(json_extract(value, '$[5]'), 1,
        26) AS scheduled_at, json_extract(value, '$[6]') AS timezone, json_extract(value,
        '$[7]') AS wait_config, json_extract(value, '$[8]') AS late_policy
    FROM json_each(:given)
) AS given, workflow_recurrences
WHERE workflow_recurrences.id = given."of"
  AND TRUE
ON CONFLICT DO NOTHING
RETURNING id;
