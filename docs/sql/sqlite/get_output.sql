-- get_output
-- The end of what a delivery's handler has said.

SELECT workflow_delivery_outputs.output, workflow_delivery_outputs.attempt
FROM workflow_delivery_outputs
WHERE workflow_delivery_outputs.delivery_id = :delivery_id;
