"""Statements on the totals that outlive what is pruned: filled in passing, apart from the transactions of a tick.

What has come to an end is counted once, by the instants at which it did: those before a mark are in the table, the
others are counted where they stand. So are those before it that are noted as not counted yet: they ended when the mark
was past that instant already. Who holds the mark's row counts; the others find it locked and go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import sqlalchemy as sa

from waitctl.domain.analytics import MONTH_MARK
from waitctl.domain.histograms import BEYOND, SECONDS
from waitctl.domain.statuses import Outcome, Resolution, WaitType
from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.dialects import JsonRows, add_to, is_among, rfc3339, seconds_between
from waitctl.infrastructure.schema import events, rollups, uncounted, upkeep, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.statements.waits import literal, row_exists

FROM = sa.bindparam("since", type_=UtcDateTime)
UNTIL = sa.bindparam("until", type_=UtcDateTime)
FIRST_ID = sa.bindparam("first_id", type_=events.c.id.type)
LAST_ID = sa.bindparam("last_id", type_=events.c.id.type)

_ONE = sa.literal_column("1", rollups.c.count.type)
_ZERO = sa.literal_column("0", rollups.c.count.type)
_KEY = rollups.primary_key.columns


@statement
def _lock_mark() -> sa.Select[Any]:
    """Lock a mark of upkeep, unless somebody else has it: a row that is locked is work that somebody does."""
    mine = upkeep.c.name == sa.bindparam("name", type_=sa.Text)
    return sa.select(upkeep.c.until_at).where(mine).with_for_update(skip_locked=True)


@statement
def _hold_mark() -> sa.Select[Any]:
    """Lock a mark of upkeep, when whoever has it is done with it."""
    mine = upkeep.c.name == sa.bindparam("name", type_=sa.Text)
    return sa.select(upkeep.c.until_at).where(mine).with_for_update()


@statement
def _mark_at() -> sa.Select[Any]:
    """Up to which instant work is done."""
    return sa.select(upkeep.c.until_at).where(upkeep.c.name == sa.bindparam("name", type_=sa.Text))


@statement
def _move_mark() -> sa.Update:
    """Note up to which instant work is done."""
    return sa.update(upkeep).values(until_at=UNTIL).where(upkeep.c.name == sa.bindparam("mark", type_=sa.Text))


@statement
def _end_of_chunk() -> sa.Select[Any]:
    """When the last wait of a chunk of those that ended did so."""
    ended = sa.select(waits.c.resolved_at).where(waits.c.resolved_at >= FROM).order_by(waits.c.resolved_at)
    return ended.offset(sa.bindparam("limit", type_=sa.Integer)).limit(1)


@statement
def _roll_up_waits() -> sa.Insert:
    """Add waits that ended to the totals: how they did, how late, and how long an event took to come."""
    ended = sa.and_(waits.c.resolved_at >= FROM, waits.c.resolved_at < UNTIL, ~_IS_NOTED)
    return add_measured(sa.union_all(*(part.where(ended) for part in measured_waits())), *Level)


@statement
def _find_uncounted() -> sa.Select[Any]:
    """Waits that ended before a mark and are in no total yet."""
    ended = sa.select(uncounted.c.wait_id).join(waits, waits.c.id == uncounted.c.wait_id)
    return ended.where(waits.c.resolved_at < UNTIL).limit(sa.bindparam("limit", type_=sa.Integer))


@statement
def _roll_up_uncounted() -> sa.Insert:
    """Add these waits to the totals."""
    these = is_among(waits.c.id)
    return add_measured(sa.union_all(*(part.where(these) for part in measured_waits())), *Level)


@statement
def _forget_uncounted() -> sa.Delete:
    """These waits are in the totals now."""
    return sa.delete(uncounted).where(is_among(uncounted.c.wait_id))


@statement
def _endings_of() -> sa.Select[Any]:
    """How these waits have ended, as the totals tell them apart; and whether they are in them, up to a mark."""
    (ended, *_) = measured_waits()
    is_counted = sa.and_(waits.c.resolved_at < UNTIL, ~_IS_NOTED).label("is_counted")
    return ended.add_columns(waits.c.id, is_counted).where(is_among(waits.c.id))


_IS_NOTED = row_exists(uncounted.c.wait_id == waits.c.id, of=waits)

_BY_EVENT = sa.and_(
    waits.c.resolution == literal(Resolution.EVENT, waits.c.resolution),
    waits.c.wait_type == literal(WaitType.FOR_EVENT, waits.c.wait_type),
)
_BY_CLOCK = waits.c.resolution.in_([literal(each, waits.c.resolution) for each in (Resolution.DUE, Resolution.TIMEOUT)])


def measured_waits() -> list[sa.Select[Any]]:
    """What is counted of waits that have ended, each measure by itself; which of them is the caller's to say."""
    late = waits.c.late_seconds
    took = seconds_between(waits.c.created_at, waits.c.resolved_at)
    return [
        measured("ended", _ZERO, _ZERO),
        measured("late", _bucket(late), late).where(_BY_CLOCK, late.is_not(None)),
        measured("to_event", _bucket(took), took).where(_BY_EVENT),
    ]


def _bucket(seconds: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The upper bound of the bucket that so many seconds are counted in."""
    bounds: list[Any] = [(seconds <= sa.literal_column(str(bound)), sa.literal_column(str(bound))) for bound in SECONDS]
    return sa.case(*bounds, else_=sa.literal_column(str(BEYOND)))


def measured(measure: str, bucket: sa.ColumnElement[Any], value: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """A row a wait, with the texts of `rollups` in their order, its bucket and its value."""
    empty = sa.literal_column("''", sa.Text)
    texts = [
        sa.literal_column(f"'{measure}'", sa.Text),
        sa.func.substr(rfc3339(waits.c.resolved_at), 1, 10),
        sa.func.coalesce(waits.c.workflow_id, empty),
        sa.cast(waits.c.wait_type, sa.Text),
        waits.c.step_id,
        sa.func.coalesce(_heard_by(), waits.c.handler, empty),
        empty,
        sa.cast(waits.c.resolution, sa.Text),
    ]
    named = [text.label(column.name) for text, column in zip(texts, _KEY, strict=False)]
    return sa.select(*named, sa.cast(bucket, rollups.c.bucket.type).label("bucket"), value.label("value"))


def _heard_by() -> sa.ColumnElement[Any]:
    """The handler that a wait names for how it ended."""
    named: list[Any] = [
        (waits.c.resolution == literal(Resolution(each), waits.c.resolution), waits.c.handlers[each.value].as_string())
        for each in Outcome
    ]
    return sa.case(*named)


class Level(Enum):
    """How far the totals tell things apart: few rows answer for a year, and one for all time."""

    DAY = "day"
    MONTH = "month"
    WHOLE = "all days and groups"


def add_measured(rows: sa.Select[Any] | sa.CompoundSelect[Any], *levels: Level) -> sa.Insert:
    """Add rows to the totals: how many there are of each key, and what their values sum to, on each of these levels."""
    names = [column.name for column in _KEY]
    each = rows.subquery("measured")
    keys = [each.c[name] for name in names]
    counted = sa.select(*keys, sa.func.count().label("count"), sa.func.sum(each.c.value).label("total"))
    summed = counted.group_by(*keys).cte("summed")
    given = sa.union_all(*(_at_level(summed, level) for level in levels)).subquery("given")
    # PostgreSQL sums big integers to a numeric.
    sums = [sa.cast(sa.func.sum(given.c[name]), rollups.c[name].type) for name in ("count", "total")]
    keys = [given.c[name] for name in names]
    found = sa.select(*keys, *sums).where(sa.true()).group_by(*keys)
    return add_to(rollups, "count", "total").from_select([*names, "count", "total"], found)


def _at_level(summed: sa.CTE, level: Level) -> sa.Select[Any]:
    empty = sa.literal_column("''", sa.Text)
    columns: dict[str, sa.ColumnElement[Any]] = {column.name: column for column in summed.c}
    if level is Level.MONTH:
        month = sa.func.substr(summed.c.day, 1, len("2026-03"))
        columns["day"] = sa.literal_column(f"'{MONTH_MARK}'", sa.Text) + month
    if level is Level.WHOLE:
        columns |= dict.fromkeys(("day", "workflow_id", "wait_type", "step_id", "handler"), empty)
    return sa.select(*(column.label(name) for name, column in columns.items()))


@statement
def _end_of_events() -> sa.Select[Any]:
    """The last event of a chunk, by the clock in its id."""
    later = sa.select(events.c.id).where(events.c.id >= FIRST_ID).order_by(events.c.id)
    return later.offset(sa.bindparam("limit", type_=sa.Integer)).limit(1)


@statement
def _roll_up_events() -> sa.Insert:
    """Add events to the totals, by source: those whose ids, which begin with a clock, lie between two."""
    empty = sa.literal_column("''", sa.Text)
    day = sa.func.substr(rfc3339(events.c.received_at), 1, 10)
    texts = [sa.literal_column("'event'", sa.Text), day, empty, empty, empty, empty, events.c.source, empty]
    named = [text.label(column.name) for text, column in zip(texts, _KEY, strict=False)]
    columns = [*named, sa.cast(_ZERO, rollups.c.bucket.type).label("bucket"), _ZERO.label("value")]
    between = sa.select(*columns).where(events.c.id >= FIRST_ID, events.c.id < LAST_ID)
    return add_measured(between, Level.DAY, Level.WHOLE)


@statement
def _add_rows() -> sa.Insert:
    """Add what a tick has counted itself to the totals, sorted by key: the order in which rows are locked."""
    names = [column.name for column in rollups.c]
    given = JsonRows("given", {column.name: column.type for column in rollups.c})
    found = sa.select(*(given.c[name] for name in names)).where(sa.true())
    return add_to(rollups, "count", "total").from_select(names, found)


@statement
def _totals() -> sa.Select[Any]:
    """What is counted of a measure over all days."""
    table = rollups.c
    found = sa.select(table.handler, table.source, table.outcome, table.bucket, table.count, table.total)
    of_measure = table.measure == sa.bindparam("measure", type_=sa.Text)
    return found.where(of_measure, table.day == sa.literal_column("''"))


def not_in_totals(parts: Sequence[sa.Select[Any]]) -> list[sa.Select[Any]]:
    """These measures of waits that are in no total: those from a mark on; and before it those that are noted.

    None that ended before the parameter ``first``.
    """
    first = sa.bindparam("first", type_=UtcDateTime)
    noted = waits.c.id.in_(sa.select(uncounted.c.wait_id))
    fresh = [part.where(waits.c.resolved_at >= FROM) for part in parts]
    return fresh + [part.where(noted, waits.c.resolved_at < FROM, waits.c.resolved_at >= first) for part in parts]


@statement
def _not_yet() -> sa.Select[Any]:
    """The waits that are in no total yet: how they ended, and how late."""
    ended, late, _ = measured_waits()
    each = sa.union_all(*not_in_totals([ended, late])).subquery("measured")
    keys = (each.c.measure, each.c.outcome, each.c.bucket)
    return sa.select(*keys, sa.func.count(), sa.cast(sa.func.sum(each.c.value), rollups.c.total.type)).group_by(*keys)


@statement
def _events_not_yet() -> sa.Select[Any]:
    """The events since the totals were filled, by source."""
    return sa.select(events.c.source, sa.func.count()).where(events.c.id >= FIRST_ID).group_by(events.c.source)
