-- find_tombstone
-- What is left of the pruned wait with this idempotency key.

SELECT waitctl_tombstones.wait_id, waitctl_tombstones.fingerprint, waitctl_tombstones.resolution,
    waitctl_tombstones.resolved_at
FROM waitctl_tombstones
WHERE waitctl_tombstones.kind = 'wait_key'
  AND waitctl_tombstones.scope = :workflow_id::VARCHAR
  AND waitctl_tombstones.key = :key::VARCHAR;
