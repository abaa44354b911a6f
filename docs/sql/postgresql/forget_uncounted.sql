-- forget_uncounted
-- These waits are in the totals now.

DELETE FROM waitctl_uncounted
WHERE waitctl_uncounted.wait_id = ANY (ARRAY(
    SELECT unnest(CAST(string_to_array(:ids::VARCHAR, E'\n') AS UUID[]))
));
