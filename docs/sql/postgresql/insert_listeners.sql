-- insert_listeners
-- Insert the listeners of a new wait.

INSERT INTO workflow_event_listeners (id, wait_id, event_type, contact_id, match, match_json,
    "where", exclusive, gated, human, group_no, needed, "distinct", diagnostic, status, since_at,
    timeout_at, expires_at, matched_event_id, matched_at)
VALUES (:id::UUID, :wait_id::UUID, :event_type::VARCHAR, :contact_id::VARCHAR, :match::JSONB,
    :match_json::JSONB, :where::VARCHAR, :exclusive, :gated, :human, :group_no::INTEGER,
    :needed::INTEGER, :distinct::VARCHAR, :diagnostic::VARCHAR, :status,
    :since_at::TIMESTAMP WITH TIME ZONE, :timeout_at::TIMESTAMP WITH TIME ZONE,
    :expires_at::TIMESTAMP WITH TIME ZONE, :matched_event_id::UUID,
    :matched_at::TIMESTAMP WITH TIME ZONE);
