-- hold_mark
-- Lock a mark of upkeep, when whoever has it is done with it.

SELECT waitctl_upkeep.until_at
FROM waitctl_upkeep
WHERE waitctl_upkeep.name = :name;
