-- keep_outputs
-- Keep what handlers have said in attempts that no later claim has overtaken.

INSERT INTO workflow_delivery_outputs (delivery_id, attempt, output)
SELECT said.id, said.attempt, said.output
FROM jsonb_to_recordset(CAST(:said::VARCHAR AS JSONB)) AS said(id UUID, claim INTEGER,
    attempt INTEGER, output TEXT), workflow_wait_deliveries
WHERE workflow_wait_deliveries.id = said.id
  AND workflow_wait_deliveries.claims = said.claim
ON CONFLICT (delivery_id) DO
UPDATE
SET attempt = excluded.attempt, output = excluded.output;
