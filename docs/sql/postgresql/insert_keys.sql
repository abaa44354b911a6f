-- insert_keys
-- Tombstones of the keys of waits that are pruned.

INSERT INTO waitctl_tombstones (kind, scope, key, wait_id, fingerprint, resolution, resolved_at,
    created_at)
SELECT 'wait_key', kept.scope, kept.key, kept.wait_id, kept.fingerprint, kept.resolution,
    kept.resolved_at, :now::TIMESTAMP WITH TIME ZONE AS anon_1
FROM jsonb_to_recordset(CAST(:kept::VARCHAR AS JSONB)) AS kept(scope TEXT, key TEXT, wait_id UUID,
    fingerprint TEXT, resolution workflow_wait_resolution, resolved_at TIMESTAMP WITH TIME ZONE)
WHERE true
ON CONFLICT DO NOTHING;
