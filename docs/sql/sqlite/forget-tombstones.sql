-- forget-tombstones
-- Forget what was remembered for long, the oldest first.

DELETE FROM waitctl_tombstones
WHERE (waitctl_tombstones.kind, waitctl_tombstones.scope, waitctl_tombstones."key") IN (
    SELECT old.kind, old.scope, old."key"
    FROM waitctl_tombstones AS old
    WHERE old.created_at < :before
    ORDER BY old.created_at
    LIMIT :limit
    OFFSET :param_1
);
