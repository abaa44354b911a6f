-- set_contacts
-- Give events their contacts in the form in which they are compared.

UPDATE workflow_events
SET contact_id=given.contact_id
FROM jsonb_to_recordset(CAST(:given::VARCHAR AS JSONB)) AS given(id UUID, contact_id TEXT)
WHERE workflow_events.id = given.id;
