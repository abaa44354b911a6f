-- registered_contacts
-- The contacts of the register from a text on, for a shell to complete them.

SELECT waitctl_contacts.contact_id
FROM waitctl_contacts
WHERE waitctl_contacts.contact_id >= :typed::VARCHAR
ORDER BY waitctl_contacts.contact_id
LIMIT 500;
