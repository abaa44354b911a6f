-- is_anything_left
-- Whether a delivery is not through, or a recurrence's open wait was due.

SELECT (EXISTS (
    SELECT *
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.status = 'pending'
))
  OR (EXISTS (
    SELECT *
    FROM workflow_wait_deliveries
    WHERE workflow_wait_deliveries.status = 'running'
))
  OR (EXISTS (
    SELECT 1
    FROM workflow_recurrences
    WHERE workflow_recurrences.status = 'active'
      AND workflow_recurrences.next_at >= :low_at::TIMESTAMP WITH TIME ZONE
      AND workflow_recurrences.next_at <= :now::TIMESTAMP WITH TIME ZONE
)) AS anon_1;
