-- claim_of_topics
-- The oldest events of the inbox table that may be of these topics, past the locked ones. Locks them.

SELECT workflow_events.id, workflow_events.event_type, workflow_events.contact_id,
    workflow_events.source, workflow_events.external_id, workflow_events.occurred_at AS occurred_at,
    octet_length(CAST(workflow_events.data AS TEXT)) AS anon_1, CASE
    WHEN (octet_length(CAST(workflow_events.data AS TEXT)) <= 8192)
    THEN CAST(workflow_events.data AS TEXT) END AS anon_2
FROM workflow_events
WHERE workflow_events.correlated_at IS NULL
  AND workflow_events.event_type = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:types::VARCHAR, E'\n') AS TEXT[]))
))
  AND (workflow_events.contact_id = :contact_id::VARCHAR
      OR workflow_events.contact_id != lower(workflow_events.contact_id)
      OR workflow_events.contact_id != trim(workflow_events.contact_id, :blanks::VARCHAR)
      OR workflow_events.contact_id LIKE 'whatsapp:%'
      OR octet_length(CAST(workflow_events.contact_id AS TEXT)) != length(workflow_events.contact_id))
ORDER BY workflow_events.received_at
LIMIT :limit::INTEGER
FOR UPDATE SKIP LOCKED;
