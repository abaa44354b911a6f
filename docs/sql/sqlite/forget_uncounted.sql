-- forget_uncounted
-- These waits are in the totals now.

DELETE FROM waitctl_uncounted
WHERE waitctl_uncounted.wait_id IN (
    SELECT value
    FROM json_each(:ids)
);
