-- store_waits
-- Insert the waits whose step and key are free, and name them. SQLite only, where a CTE may not write.

INSERT INTO workflow_wait_executions (id, workflow_id, workflow_execution_id, step_id, contact_id,
    context, idempotency_key, wait_type, status, scheduled_at, timeout_at, timezone, wait_config,
    handler, handlers, late_seconds, late_policy, created_at, updated_at)
SELECT given.id, given.workflow_id, given.workflow_execution_id, given.step_id, given.contact_id,
    given.context, given.idempotency_key, plans.wait_type, plans.status, plans.scheduled_at,
    plans.timeout_at, plans.timezone, plans.wait_config, plans.handler, plans.handlers,
    plans.late_seconds, plans.late_policy, :now AS anon_1, :now AS anon__1
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS "plan",
        json_extract(value, '$[2]') AS workflow_id, json_extract(value,
        '$[3]') AS workflow_execution_id, json_extract(value, '$[4]') AS step_id,
        json_extract(value, '$[5]') AS contact_id, json_extract(value, '$[6]') AS context,
        json_extract(value, '$[7]') AS idempotency_key
    FROM json_each(:given)
) AS given, (
    SELECT json_extract(value, '$."wait_type"') AS wait_type, json_extract(value,
        '$."status"') AS status, substr(json_extract(value, '$."scheduled_at"'), 1,
        26) AS scheduled_at, substr(json_extract(value, '$."timeout_at"'), 1, 26) AS timeout_at,
        json_extract(value, '$."timezone"') AS timezone, json_extract(value,
        '$."wait_config"') AS wait_config, json_extract(value, '$."handler"') AS handler,
        json_extract(value, '$."handlers"') AS handlers, json_extract(value,
        '$."late_seconds"') AS late_seconds, json_extract(value, '$."late_policy"') AS late_policy,
        json_extract(value, '$."plan"') AS "plan"
    FROM json_each(:plans)
) AS plans
WHERE plans."plan" = given."plan"
ON CONFLICT DO NOTHING
RETURNING id;
