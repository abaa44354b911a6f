-- is_touched
-- Whether the listeners of a wait may not be as they were created.

SELECT (EXISTS (
    SELECT *
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.wait_id = :wait_id::UUID
      AND workflow_event_listeners.matched_event_id IS NOT NULL
))
  OR (EXISTS (
    SELECT *
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.wait_id = :wait_id::UUID
      AND (workflow_event_listeners.group_no > 0 OR workflow_event_listeners."where" IS NOT NULL)
)) AS anon_1;
