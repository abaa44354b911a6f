-- insert_plan
-- Insert a plan that is being written.

INSERT INTO workflow_wait_plans (id, kind, status, options, said_reason, created_by, created_at,
    expires_at, matched, run, lease_expires_at, applied_at, undone_at)
VALUES (:id, :kind, :status, :options, :said_reason, :created_by, :created_at, :expires_at,
    :matched, :run, :lease_expires_at, :applied_at, :undone_at);
