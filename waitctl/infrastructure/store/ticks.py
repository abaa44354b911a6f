"""Statements on the heartbeat: one row a tick, on the real clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from waitctl.domain.text import JsonObject, from_json
from waitctl.domain.values import dataclass
from waitctl.infrastructure.kept import kept

if TYPE_CHECKING:
    from waitctl.infrastructure.executor import Connection

_KEPT = timedelta(days=30)


def last_tick_at(connection: Connection) -> datetime | None:
    """The latest instant, on the real clock, at which a tick started or finished."""
    seen = [at for at in connection.execute(kept("last_ticks")).one() if at is not None]
    return max(seen, default=None)


def last_finished_at(connection: Connection) -> datetime | None:
    """The latest instant, on the real clock, at which a tick finished; a resident one does so once a minute."""
    at: datetime | None = connection.execute(kept("last_finished_at")).scalar()
    return at


def is_anything_left(connection: Connection, *, now: datetime) -> bool:
    """Whether a delivery is not through, or a recurrence's open wait was due: what `look_ahead` does not see."""
    low = datetime.min.replace(tzinfo=UTC)
    return bool(connection.execute(kept("is_anything_left"), {"low_at": low, "now": now}).scalar_one())


@dataclass(frozen=True, slots=True)
class LastTick:
    """When a tick was last seen to run, on the real clock, and where."""

    at: datetime
    host: str


def last_tick(connection: Connection) -> LastTick | None:
    """The tick that was seen last; a resident one is seen once a minute."""
    rows = [row for row in connection.execute(kept("last_tick")) if row.at is not None]
    last = max(rows, key=lambda row: row.at, default=None)
    return None if last is None else LastTick(last.at, last.host)


def set_clock_back(connection: Connection, last: datetime, now: datetime, note: str) -> None:
    """Go on from ``now``, after ticks up to ``last`` on a clock that was ahead.

    Their rows say now; deliveries that wait for an instant of that clock wait for as much less; and the trail of what
    happened by it is given ``note``. What pretended to be of another time is left as it is.
    """
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import deliveries, ticks, transitions

    ahead = connection.execute(sa.select(sa.func.min(ticks.c.started_at)).where(ticks.c.started_at > now)).scalar()
    first = ahead or last
    for table, column in ((deliveries, deliveries.c.next_attempt_at), (deliveries, deliveries.c.lease_expires_at)):
        for identifier, at in connection.execute(sa.select(table.c.id, column).where(column >= first)).all():
            earlier = max(now, at - (last - now))
            connection.execute(sa.update(table).where(table.c.id == identifier).values({column: earlier}))
    for column in (ticks.c.started_at, ticks.c.finished_at):
        connection.execute(sa.update(ticks).where(column > now).values({column: now}))
    connection.execute(
        sa.update(transitions)
        .where(transitions.c.at > now, transitions.c.reason.not_like("as of %"))
        .values(reason=transitions.c.reason + note)
    )


def insert_tick(
    connection: Connection,
    *,
    host: str,
    pid: int,
    started_at: datetime,
    as_of: datetime | None,
    handlers: Sequence[str],
) -> int:
    """Say that a tick has started, and which handlers it knows; forget those of more than 30 days ago.

    Returns its number.
    """
    connection.execute(kept("forget_ticks"), {"before": started_at - _KEPT})
    row = {"host": host, "pid": pid, "started_at": started_at, "as_of": as_of, "handlers": list(handlers)}
    return int(connection.execute(kept("insert_tick"), row).scalar_one())


def handlers_known_since(connection: Connection, since: datetime) -> set[str]:
    """Every handler that the config of a host knew which has ticked since then."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import ticks

    beat_at = sa.func.coalesce(ticks.c.finished_at, ticks.c.started_at)
    seen = sa.select(sa.cast(ticks.c.handlers, sa.Text)).where(beat_at >= since).distinct()
    return {name for text in connection.execute(seen).scalars() if text for name in from_json(text)}


def finish_tick(connection: Connection, tick_id: int, *, finished_at: datetime, report: JsonObject) -> None:
    """Say that a tick has finished, and what it did."""
    connection.execute(kept("finish_tick"), {"tick": tick_id, "at": finished_at, "said": report})


@dataclass(frozen=True, slots=True)
class TickRow:
    """A run as it was noted. No ``finished_at`` and no report: it runs, or something ended it."""

    started_at: datetime
    finished_at: datetime | None
    host: str
    pid: int
    as_of: datetime | None
    report: JsonObject | None


def list_ticks(connection: Connection, *, since: datetime, limit: int | None = None) -> list[TickRow]:
    """The runs that started since then, and those that were still seen, newest first."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import ticks

    table = ticks.c
    columns = (table.started_at, table.finished_at, table.host, table.pid, table.as_of, table.report)
    found = sa.select(*columns).where(sa.or_(table.started_at >= since, table.finished_at >= since))
    found = found.order_by(table.started_at.desc(), table.id.desc())
    return [TickRow(*row) for row in connection.execute(found if limit is None else found.limit(limit))]
