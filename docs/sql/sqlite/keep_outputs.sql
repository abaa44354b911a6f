-- keep_outputs
-- Keep what handlers have said in attempts that no later claim has overtaken.

INSERT INTO workflow_delivery_outputs (delivery_id, attempt, output)
SELECT said.id, said.attempt, said.output
FROM (
    SELECT json_extract(value, '$."id"') AS id, json_extract(value, '$."claim"') AS claim,
        json_extract(value, '$."attempt"') AS attempt, json_extract(value, '$."output"') AS output
    FROM json_each(:said)
) AS said, workflow_wait_deliveries
WHERE workflow_wait_deliveries.id = said.id
  AND workflow_wait_deliveries.claims = said.claim
ON CONFLICT (delivery_id) DO
UPDATE
SET attempt = excluded.attempt, output = excluded.output;
