-- insert_keys
-- Tombstones of the keys of waits that are pruned.

INSERT INTO waitctl_tombstones (kind, scope, "key", wait_id, fingerprint, resolution, resolved_at,
    created_at)
SELECT 'wait_key', kept.scope, kept."key", kept.wait_id, kept.fingerprint, kept.resolution,
    kept.resolved_at, :now AS anon_1
FROM (
    SELECT json_extract(value, '$."scope"') AS scope, json_extract(value, '$."key"') AS "key",
        json_extract(value, '$."wait_id"') AS wait_id, json_extract(value,
        '$."fingerprint"') AS fingerprint, json_extract(value, '$."resolution"') AS resolution,
        substr(json_extract(value, '$."resolved_at"'), 1, 26) AS resolved_at
    FROM json_each(:kept)
) AS kept
WHERE 1 = 1
ON CONFLICT DO NOTHING;
