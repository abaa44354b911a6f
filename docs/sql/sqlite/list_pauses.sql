-- list_pauses
-- Every pause, oldest first.

SELECT waitctl_pauses.kind, waitctl_pauses.name, waitctl_pauses.reason, waitctl_pauses.actor,
    waitctl_pauses.paused_at
FROM waitctl_pauses
ORDER BY waitctl_pauses.paused_at, waitctl_pauses.kind, waitctl_pauses.name;
