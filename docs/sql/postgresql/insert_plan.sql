-- insert_plan
-- Insert a plan that is being written.

INSERT INTO workflow_wait_plans (id, kind, status, options, said_reason, created_by, created_at,
    expires_at, matched, run, lease_expires_at, applied_at, undone_at)
VALUES (:id::UUID, :kind::VARCHAR, :status::VARCHAR, :options::JSONB, :said_reason::VARCHAR,
    :created_by::VARCHAR, :created_at::TIMESTAMP WITH TIME ZONE,
    :expires_at::TIMESTAMP WITH TIME ZONE, :matched::INTEGER, :run::INTEGER,
    :lease_expires_at::TIMESTAMP WITH TIME ZONE, :applied_at::TIMESTAMP WITH TIME ZONE,
    :undone_at::TIMESTAMP WITH TIME ZONE);
