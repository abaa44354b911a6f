-- set_contacts
-- Give events their contacts in the form in which they are compared.

UPDATE workflow_events
SET contact_id=given.contact_id
FROM (
    SELECT json_extract(value, '$."id"') AS id, json_extract(value, '$."contact_id"') AS contact_id
    FROM json_each(:given)
) AS given
WHERE workflow_events.id = given.id;
