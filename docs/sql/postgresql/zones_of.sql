-- zones_of
-- The zones of these contacts.

SELECT waitctl_contacts.contact_id, waitctl_contacts.timezone
FROM waitctl_contacts
WHERE waitctl_contacts.contact_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS TEXT[]))
))
  AND waitctl_contacts.timezone IS NOT NULL;
