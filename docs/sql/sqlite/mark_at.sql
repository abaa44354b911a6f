-- mark_at
-- Up to which instant work is done.

SELECT waitctl_upkeep.until_at
FROM waitctl_upkeep
WHERE waitctl_upkeep.name = :name;
