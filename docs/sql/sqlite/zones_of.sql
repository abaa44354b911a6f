-- zones_of
-- The zones of these contacts.

SELECT waitctl_contacts.contact_id, waitctl_contacts.timezone
FROM waitctl_contacts
WHERE waitctl_contacts.contact_id IN (
    SELECT value
    FROM json_each(:ids)
)
  AND waitctl_contacts.timezone IS NOT NULL;
