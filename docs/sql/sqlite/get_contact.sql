-- get_contact
-- The contact of the register.

SELECT waitctl_contacts.contact_id, waitctl_contacts.timezone, waitctl_contacts.data,
    waitctl_contacts.created_at, waitctl_contacts.updated_at
FROM waitctl_contacts
WHERE waitctl_contacts.contact_id = :contact_id;
