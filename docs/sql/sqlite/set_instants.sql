-- set_instants
-- Give events their instants in one form: SQLite, where alone this runs, compares them as text.

UPDATE workflow_events
SET occurred_at=given.occurred_at, received_at=coalesce(strftime(:strftime_1,
    workflow_events.received_at), strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    expires_at=strftime(:strftime_2, workflow_events.expires_at)
FROM (
    SELECT json_extract(value, '$."id"') AS id, substr(json_extract(value, '$."occurred_at"'), 1,
        26) AS occurred_at
    FROM json_each(:given)
) AS given
WHERE workflow_events.id = given.id;
