"""The statement behind `upcoming`: what ends by the clock, counted by quarter hours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from waitctl.domain.counts import CAP
from waitctl.domain.values import dataclass
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import kept


@dataclass(frozen=True, slots=True)
class UpcomingCounts:
    """What ends by the clock: how many waits are overdue, how many come later than was asked, and the rest.

    The rest by quarter hours since the epoch, as every zone of today is off UTC by a multiple of them.
    """

    overdue: int
    later: int
    scheduled: Mapping[int, int]
    timeouts: Mapping[int, int]


def count_upcoming(
    connection: Connection, *, now: datetime, until: datetime, workflow_id: str | None
) -> UpcomingCounts:
    """Count the scheduled waits by their instant, and the event waits by the end of their listeners' grace."""
    counted = kept("count_upcoming", workflow_id is not None)
    aside = {_OVERDUE: 0, _LATER: 0}
    within: tuple[dict[int, int], dict[int, int]] = ({}, {})
    parameters = {"now": now, "until": until, "workflow_id": workflow_id}
    for kind, place, quarter, count in connection.execute(counted, parameters):
        if place in aside:
            aside[place] += count
        else:
            within[kind][quarter] = count
    return UpcomingCounts(aside[_OVERDUE], aside[_LATER], *within)


@dataclass(frozen=True, slots=True)
class NextCounts:
    """What ends next, by quarter hours since the epoch; ``is_capped``: of one kind there is more than was counted."""

    scheduled: Mapping[int, int]
    timeouts: Mapping[int, int]
    is_capped: bool


def count_next(connection: Connection, *, now: datetime, until: datetime) -> NextCounts:
    """Count what ends after ``now`` and before ``until``, of each kind among the first `CAP` + 1 rows."""
    within: tuple[dict[int, int], dict[int, int]] = ({}, {})
    looked_at = [0, 0]
    for kind, quarter, count, rows in connection.execute(kept("count_next"), {"now": now, "until": until}):
        within[kind][quarter] = count
        looked_at[kind] += rows
    return NextCounts(*within, is_capped=max(looked_at) > CAP)


_OVERDUE, _WITHIN, _LATER = -1, 0, 1
