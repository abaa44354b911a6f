-- mark_correlated
-- Say that events, which `inbox.claim_oldest` has locked, have been correlated.

UPDATE workflow_events
SET correlated_at=:now
FROM (
    SELECT json_extract(value, '$."id"') AS id
    FROM json_each(:given)
) AS given
WHERE workflow_events.id = given.id;
