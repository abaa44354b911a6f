"""Statements on the totals that outlive what is pruned: filled in passing, apart from the transactions of a tick.

What has come to an end is counted once, by the instants at which it did: those before a mark are in the table, the
others are counted where they stand. So are those before it that are noted as not counted yet: they ended when the mark
was past that instant already. Who holds the mark's row counts; the others find it locked and go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from waitctl.domain.values import dataclass, fields_of, replace
from waitctl.infrastructure.executor import Connection, Row
from waitctl.infrastructure.ids import first_id_at
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.sql_values import json_rows

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rollup:
    """A row of the totals: ``count`` of what the texts name, their values, which sum to ``total``, below ``bucket``."""

    day: str
    """In UTC; or a month (`analytics.month_of`); empty for all time."""
    measure: str
    bucket: int
    count: int
    total: int
    workflow_id: str = ""
    wait_type: str = ""
    step_id: str = ""
    handler: str = ""
    source: str = ""
    outcome: str = ""


# -- marks -------------------------------------------------------------------------------------------------------------


def lock_mark(connection: Connection, name: str) -> datetime | None:
    """Up to which instant this work has been done; it is the caller's now. ``None`` when somebody else is at it."""
    at: datetime | None = connection.execute(kept("lock_mark"), {"name": name}).scalar()
    return at


def hold_mark(connection: Connection, name: str) -> datetime:
    """Up to which instant this work has been done; nobody goes on with it until the transaction ends."""
    at: datetime = connection.execute(kept("hold_mark"), {"name": name}).scalar_one()
    return at


def move_mark(connection: Connection, name: str, until: datetime) -> None:
    """Note that this work is done up to an instant."""
    connection.execute(kept("move_mark"), {"mark": name, "until": until})


def mark_at(connection: Connection, name: str) -> datetime:
    """Up to which instant this work has been done."""
    at: datetime = connection.execute(kept("mark_at"), {"name": name}).scalar_one()
    return at


# -- waits that ended --------------------------------------------------------------------------------------------------


def end_of_chunk(connection: Connection, since: datetime, *, limit: int) -> datetime | None:
    """The instant at which the ``limit``-th wait after ``since`` ended; ``None`` when there are fewer."""
    at: datetime | None = connection.execute(kept("end_of_chunk"), {"since": since, "limit": limit}).scalar()
    return at


def roll_up_waits(connection: Connection, since: datetime, until: datetime) -> None:
    """Add the waits that ended from ``since`` and before ``until`` to the totals."""
    connection.execute(kept("roll_up_waits"), {"since": since, "until": until})


def roll_up_errors(connection: Connection, wait_ids: list[str]) -> None:
    """Add those of these waits whose deliveries are dead to the totals: they are about to be pruned."""
    connection.execute(kept("roll_up_errors"), {"ids": wait_ids})


def find_uncounted(connection: Connection, until: datetime, *, limit: int) -> list[str]:
    """Waits that ended before a mark and are in no total: the mark was past that instant when they did."""
    return list(connection.execute(kept("find_uncounted"), {"until": until, "limit": limit}).scalars())


def roll_up_uncounted(connection: Connection, wait_ids: Sequence[str]) -> None:
    """Add these waits to the totals."""
    connection.execute(kept("roll_up_uncounted"), {"ids": wait_ids})
    connection.execute(kept("forget_uncounted"), {"ids": wait_ids})


@dataclass(frozen=True, slots=True)
class CountedEnd:
    """How a wait has ended, as the totals tell it; and whether it is in them."""

    wait_id: str
    row: Rollup
    is_counted: bool


def endings_of(connection: Connection, wait_ids: Iterable[str], mark: datetime) -> list[CountedEnd]:
    """How these waits have ended. The totals reach up to ``mark``, which is held."""
    found = connection.execute(kept("endings_of"), {"ids": list(wait_ids), "until": mark})
    return [
        CountedEnd(
            row.id,
            Rollup(
                row.day, row.measure, 0, 1, 0, row.workflow_id, row.wait_type, row.step_id, row.handler, "", row.outcome
            ),
            bool(row.is_counted),
        )
        for row in found
    ]


def take_back(connection: Connection, endings: Iterable[CountedEnd]) -> None:
    """Take waits that are open again out of the totals of days and months. The mark of waits is held.

    Those of all time count that a wait has ended, however often it does: Prometheus takes a counter that falls for a
    new one.
    """
    from waitctl.domain.analytics import month_of

    changed: Counter[Rollup] = Counter()
    for ending in endings:
        row = ending.row
        if ending.is_counted:
            changed[row] -= 1
            changed[replace(row, day=month_of(row.day))] -= 1
        else:
            changed[Rollup("", row.measure, 0, 1, 0, outcome=row.outcome)] += 1
    add(connection, (replace(row, count=number) for row, number in changed.items()))


# -- events ------------------------------------------------------------------------------------------------------------


def end_of_events(connection: Connection, first_id: str, *, limit: int) -> str | None:
    """The id of the ``limit``-th event from an id on; ``None`` when there are fewer."""
    found: str | None = connection.execute(kept("end_of_events"), {"first_id": first_id, "limit": limit}).scalar()
    return found


def roll_up_events(connection: Connection, first_id: str, last_id: str) -> None:
    """Add the events with ids from ``first_id`` and before ``last_id`` to the totals, by source."""
    connection.execute(kept("roll_up_events"), {"first_id": first_id, "last_id": last_id})


def add_events_behind(connection: Connection, events: Iterable[tuple[str, str]], *, now: datetime) -> None:
    """Add those of these events, ids and sources, to the totals whose ids are from before the mark: nobody else will.

    They were received ``now``, and are in this transaction. Until it ends the mark stays where it is.
    """
    first = first_id_at(hold_mark(connection, "events"))
    behind = Counter(source for event_id, source in events if event_id < first)
    days = (now.date().isoformat(), "")
    add(
        connection,
        (Rollup(day, "event", 0, count, 0, source=source) for source, count in behind.items() for day in days),
    )


# -- what ticks count themselves ---------------------------------------------------------------------------------------


_KEY = ("measure", "day", "workflow_id", "wait_type", "step_id", "handler", "source", "outcome", "bucket")


def add(connection: Connection, rows: Iterable[Rollup]) -> None:
    """Add rows to the totals."""
    if given := sorted(rows, key=lambda row: tuple(getattr(row, name) for name in _KEY)):
        connection.execute(kept("add_rows"), {"given": json_rows(fields_of(row) for row in given)})


# -- reading -----------------------------------------------------------------------------------------------------------


def totals(connection: Connection, measure: str) -> list[Row]:
    """Rows of (handler, source, outcome, bucket, count, total) over all days and groups."""
    return connection.execute(kept("totals"), {"measure": measure}).all()


def not_yet(connection: Connection, mark: datetime) -> list[Row]:
    """What is in no total, which reach up to ``mark``: rows of (measure, resolution, bucket, count, total)."""
    return connection.execute(kept("not_yet"), {"since": mark, "first": _FIRST}).all()


def events_not_yet(connection: Connection, first_id: str) -> dict[str, int]:
    """How many events came from an id on, by source."""
    return {row[0]: row[1] for row in connection.execute(kept("events_not_yet"), {"first_id": first_id})}
