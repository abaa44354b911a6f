-- move_mark
-- Note up to which instant work is done.

UPDATE waitctl_upkeep
SET until_at=:until::TIMESTAMP WITH TIME ZONE
WHERE waitctl_upkeep.name = :mark::VARCHAR;
