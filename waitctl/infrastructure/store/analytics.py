"""What became of waits that have ended: from the totals and what is in none yet, or from the waits themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from waitctl.domain.analytics import Counted, Dimension, Measure, spans
from waitctl.domain.filters import WaitFilter
from waitctl.domain.statuses import WaitType
from waitctl.infrastructure.executor import Connection, Row
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.sql_values import json_rows

_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)
_EVERY_TYPE: Sequence[str] = ("", *WaitType)
"""Attempts were not told apart by type in totals of an older waitctl."""


def counted(
    connection: Connection, wanted: WaitFilter, by: Dimension | None, *, since: datetime | None, mark: datetime
) -> list[Counted]:
    """What ended from a day on: of these types, of this workflow, step and handler. The totals reach up to ``mark``."""
    given = {
        "types": json_rows({"name": name} for name in wanted.wait_types or _EVERY_TYPE),
        "of_workflow_id": wanted.workflow_id,
        "of_step_id": wanted.step_id,
        "of_handler": wanted.handler,
    }
    found = []
    for low, high in spans(since and since.date()):
        summed = connection.execute(kept("analytics", by), given | {"low": low, "high": high})
        found += [Counted(Measure(row[0]), row[5] if by else "", *row[1:5]) for row in summed]
    first = since or _FIRST_DAY
    for name, own in (
        ("analytics_not_yet", {"since": max(mark, first), "first": first}),
        ("analytics_errors", {"since": first, "since_day": first.date().isoformat()}),
    ):
        found += [_counted(row, by) for row in connection.execute(kept(name), given | own)]
    return found


def counted_where_they_stand(
    connection: Connection, wanted: WaitFilter, by: Dimension | None, *, since: datetime | None, now: datetime
) -> list[Counted]:
    """The same of the waits that a filter means, as far as they have not been pruned."""
    from waitctl.infrastructure.store.statements.analytics import of_waits
    from waitctl.infrastructure.store.statements.filters import clauses

    ended, attempts = of_waits(clauses(wanted, now=now))
    first = {"since": since or _FIRST_DAY}
    found = [_counted(row, by) for row in connection.execute(ended, first)]
    return found + [each for row in connection.execute(attempts, first) for each in _attempts(row, by)]


def _counted(row: Row, by: Dimension | None) -> Counted:
    return Counted(Measure(row[0]), _name(row[5:], by), *row[1:5])


def _attempts(row: Row, by: Dimension | None) -> Iterator[Counted]:
    """The attempts of a group: those that were taken, and the others."""
    attempts, delivered, *names = row
    yield Counted(Measure.ATTEMPT, _name(names, by), "delivered", 0, delivered, 0)
    yield Counted(Measure.ATTEMPT, _name(names, by), "failed", 0, attempts - delivered, 0)


def _name(names: Sequence[str], by: Dimension | None) -> str:
    """Of the names of everything, in the order of `Dimension`, the one that is asked for."""
    return names[list(Dimension).index(by)] if by else ""
