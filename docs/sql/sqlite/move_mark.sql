-- move_mark
-- Note up to which instant work is done.

UPDATE waitctl_upkeep
SET until_at=:until
WHERE waitctl_upkeep.name = :mark;
