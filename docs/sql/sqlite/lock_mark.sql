-- lock_mark
-- Lock a mark of upkeep, unless somebody else has it: a row that is locked is work that somebody does.

SELECT waitctl_upkeep.until_at
FROM waitctl_upkeep
WHERE waitctl_upkeep.name = :name;
