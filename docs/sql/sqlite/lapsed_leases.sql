-- lapsed_leases
-- The deliveries that run on a lease which is over.

SELECT count(*) AS count_1, min(lapsed.lease_expires_at) AS min_1
FROM (
    SELECT workflow_wait_deliveries.lease_expires_at AS lease_expires_at
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.status = 'running'
      AND workflow_wait_deliveries.lease_expires_at <= :now
    LIMIT 10001
    OFFSET :param_2
) AS lapsed;
