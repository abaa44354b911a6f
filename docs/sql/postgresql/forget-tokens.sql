-- forget-tokens
-- Forget what was remembered for long, the oldest first.

DELETE FROM waitctl_webhook_tokens
WHERE (waitctl_webhook_tokens.source, waitctl_webhook_tokens.token) IN (
    SELECT "old".source, "old".token
    FROM waitctl_webhook_tokens AS "old"
    WHERE "old".seen_at < :before::TIMESTAMP WITH TIME ZONE
    ORDER BY "old".seen_at
    LIMIT :limit::INTEGER
);
