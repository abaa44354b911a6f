-- totals
-- What is counted of a measure over all days.

SELECT waitctl_rollups.handler, waitctl_rollups.source, waitctl_rollups.outcome,
    waitctl_rollups.bucket, waitctl_rollups.count, waitctl_rollups.total
FROM waitctl_rollups
WHERE waitctl_rollups.measure = :measure
  AND waitctl_rollups.day = '';
