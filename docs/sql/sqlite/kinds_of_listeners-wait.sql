-- kinds_of_listeners-wait
-- Whether any listener of these topics is grouped or judged, as a rule none is, and how many pairs there are.

SELECT max(CASE WHEN met.grouped THEN 1 ELSE 0 END) AS max_1, max(CASE WHEN met.judged THEN 1
    ELSE 0 END) AS max_2, sum(CASE WHEN (met.grouped = 1 OR met.judged = 1) THEN 1
    ELSE 0 END) AS sum_1, count(*) AS count_1
FROM (
    SELECT workflow_event_listeners.group_no > 0 AS grouped,
        workflow_event_listeners."exclusive" = 1
      OR workflow_event_listeners.gated = 1
      OR workflow_event_listeners."where" IS NOT NULL AS judged
    FROM workflow_event_listeners
    WHERE workflow_event_listeners.wait_id IN (
        SELECT wanted.id
        FROM (
            SELECT json_extract(value, '$."id"') AS id
            FROM json_each(:wanted)
        ) AS wanted
    )
      AND workflow_event_listeners.status = 'active'
    LIMIT :most
    OFFSET :param_2
) AS met;
