-- find_pruned_keys
-- The new waits whose key was that of a wait which is pruned.

SELECT claims.id
FROM (
    SELECT CAST(split.value[1] AS UUID) AS id,
        CAST(split.value[2] AS TEXT) AS workflow_execution_id,
        CAST(split.value[3] AS TEXT) AS step_id, CAST(split.value[4] AS TEXT) AS workflow_id,
        CAST(split.value[5] AS TEXT) AS key
    FROM (
        SELECT string_to_array(line, E'\t', E'\x02') AS value
        FROM unnest(string_to_array(:claims::VARCHAR, E'\n')) AS line
        OFFSET 0
    ) AS split
) AS claims
JOIN waitctl_tombstones ON waitctl_tombstones.kind = 'wait_key'
  AND waitctl_tombstones.scope = claims.workflow_id
  AND waitctl_tombstones.key = claims.key;
