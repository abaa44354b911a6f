-- find_pruned_keys
-- The new waits whose key was that of a wait which is pruned.

SELECT claims.id
FROM (
    SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS workflow_execution_id,
        json_extract(value, '$[2]') AS step_id, json_extract(value, '$[3]') AS workflow_id,
        json_extract(value, '$[4]') AS "key"
    FROM json_each(:claims)
) AS claims
JOIN waitctl_tombstones ON waitctl_tombstones.kind = 'wait_key'
  AND waitctl_tombstones.scope = claims.workflow_id
  AND waitctl_tombstones."key" = claims."key";
