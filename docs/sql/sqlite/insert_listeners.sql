-- insert_listeners
-- Insert the listeners of a new wait.

INSERT INTO workflow_event_listeners (id, wait_id, event_type, contact_id, "match", match_json,
    "where", "exclusive", gated, human, group_no, needed, "distinct", diagnostic, status, since_at,
    timeout_at, expires_at, matched_event_id, matched_at)
VALUES (:id, :wait_id, :event_type, :contact_id, :match, :match_json, :where, :exclusive, :gated,
    :human, :group_no, :needed, :distinct, :diagnostic, :status, :since_at, :timeout_at,
    :expires_at, :matched_event_id, :matched_at);
