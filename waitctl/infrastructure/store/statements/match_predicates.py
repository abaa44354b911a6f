"""Which events fit which open listeners: the rule of `waitctl.domain.near_misses`, in SQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause

from waitctl.domain.listeners import MACHINE
from waitctl.domain.matching import MAX_DISTINCT
from waitctl.domain.statuses import Resolution, WaitExecutionStatus
from waitctl.domain.text import to_json
from waitctl.infrastructure.dialects import JsonRows, contains, is_one_of, matches_text, octets, scalar_text
from waitctl.infrastructure.schema import events, listeners, matches, waits
from waitctl.infrastructure.store.statements.completion import ACTIVE, ID, NOW, WAITING
from waitctl.infrastructure.store.statements.waits import literal

JUDGED = sa.or_(listeners.c.exclusive, listeners.c.gated, listeners.c.where.is_not(None))
"""Listeners that Python has a say in: who takes an event, when its window opens, whether its condition holds."""

GROUPED = listeners.c.group_no > sa.literal_column("0")
"""Listeners that take more than their one event to end the wait."""

CONDITIONAL = listeners.c.where.is_not(None)

_ZERO: sa.ColumnElement[int] = sa.literal_column("0")
_ONE: sa.ColumnElement[int] = sa.literal_column("1")

SAME_TOPIC = sa.and_(events.c.contact_id == listeners.c.contact_id, events.c.event_type == listeners.c.event_type)


def fitting() -> FromClause:
    """Events beside the listeners of their topic and the listeners' waits."""
    return events.join(listeners, SAME_TOPIC).join(waits, waits.c.id == listeners.c.wait_id)


def of_scope(scope: str) -> sa.ColumnElement[bool]:
    """Which events, or which waits' listeners, it is about."""
    wanted = JsonRows("wanted", {"id": ID})
    subject = events.c.id if scope == "events" else listeners.c.wait_id
    return is_one_of(subject, sa.select(wanted.c.id))


def kinds(scope: str) -> sa.Select[Any]:
    """Whether any listener of these topics is grouped, and whether any is judged. As a rule none is.

    Then how many pairs of an event and a listener there are, grouped or judged ones, and all: no more than ``most``.
    """
    source = listeners if scope == "wait" else events.join(listeners, SAME_TOPIC)
    kind = [GROUPED.label("grouped"), JUDGED.label("judged")]
    most = sa.bindparam("most", type_=sa.Integer)
    met = sa.select(*kind).select_from(source).where(of_scope(scope), ACTIVE).limit(most).subquery("met")
    either = sa.or_(met.c.grouped, met.c.judged)
    flags = [sa.case((condition, _ONE), else_=_ZERO) for condition in (met.c.grouped, met.c.judged, either)]
    grouped, judged, costly = flags
    columns: list[Any] = [sa.func.max(grouped), sa.func.max(judged), sa.func.sum(costly), sa.func.count()]
    return sa.select(*columns)


def loads() -> sa.Select[Any]:
    """Of each of these events, the oldest first: its contact, its size, and how many listeners it meets.

    Those that are grouped or judged, and all. A topic is counted once, however many events it has.
    """
    topics = sa.select(events.c.contact_id, events.c.event_type).where(of_scope("events")).distinct().cte("topics")
    same = sa.and_(topics.c.contact_id == listeners.c.contact_id, topics.c.event_type == listeners.c.event_type)
    costly = sa.func.sum(sa.case((sa.or_(GROUPED, JUDGED), _ONE), else_=_ZERO)).label("costly")
    met = (
        sa.select(topics.c.contact_id, topics.c.event_type, costly, sa.func.count().label("listeners"))
        .select_from(topics.join(listeners, same))
        .where(ACTIVE)
        .group_by(topics.c.contact_id, topics.c.event_type)
        .cte("met")
    )
    theirs = sa.and_(met.c.contact_id == events.c.contact_id, met.c.event_type == events.c.event_type)
    counts = [sa.func.coalesce(each, _ZERO) for each in (met.c.costly, met.c.listeners)]
    return (
        sa.select(events.c.id, events.c.contact_id, octets(events.c.data), *counts)
        .select_from(events.outerjoin(met, theirs))
        .where(of_scope("events"))
        .order_by(events.c.received_at, events.c.id)
    )


def fits(scope: str) -> list[sa.ColumnElement[bool]]:
    """`near_misses.matches` in SQL, but for ``where``, which Python evaluates, and ``distinct``, asked in counting.

    Parameters: ``wanted``, ``now``.
    """
    return [of_scope(scope), ACTIVE, WAITING, *in_time(), *alike(), *free()]


def in_time() -> list[sa.ColumnElement[bool]]:
    """Whether the event came in the listener's time, which depends on when the wait was created. Parameter: ``now``."""
    return [
        sa.or_(events.c.expires_at.is_(None), events.c.expires_at > NOW),
        events.c.received_at >= listeners.c.since_at,
        sa.or_(
            listeners.c.expires_at.is_(None),
            sa.and_(
                events.c.received_at < listeners.c.expires_at,
                sa.or_(events.c.received_at < listeners.c.timeout_at, events.c.occurred_at < listeners.c.timeout_at),
            ),
        ),
    ]


def alike() -> list[sa.ColumnElement[bool]]:
    """Whether the event has what the listener asks for: of an event and what is asked it is always the same."""
    return [
        sa.or_(listeners.c.match.is_(None), matches_text(events.c.data, listeners.c.match)),
        sa.or_(listeners.c.match_json.is_(None), contains(events.c.data, listeners.c.match_json)),
        sa.or_(~listeners.c.human, ~contains(events.c.data, _MACHINE)),
    ]


def free() -> list[sa.ColumnElement[bool]]:
    """Whether no other wait has the event for itself. That ends when such a wait is cancelled."""
    return [~_consumed(), ~_counted()]


_MACHINE = sa.literal_column(f"'{to_json(MACHINE)}'", sa.Text)


def distinct_value() -> sa.ColumnElement[str]:
    """The text that an event counts under in a group with ``distinct``; a long one by its digest."""
    return scalar_text(events.c.data, listeners.c.distinct, MAX_DISTINCT)


def _consumed() -> sa.ColumnElement[bool]:
    """Whether the event was taken exclusively, or resumed an earlier wait of the same execution (semantics 14)."""
    earlier, taker = waits.alias("earlier"), listeners.alias("taker")
    resumed = _resumed(earlier)
    # One that was taken outside its taker's window is still to resume it.
    scheduled = earlier.c.status == literal(WaitExecutionStatus.SCHEDULED, waits.c.status)
    taken = sa.and_(taker.c.exclusive, sa.or_(resumed, scheduled))
    same_execution = earlier.c.workflow_execution_id == waits.c.workflow_execution_id
    return sa.exists(
        sa.select(sa.literal_column("1"))
        .select_from(taker.join(earlier, earlier.c.id == taker.c.wait_id))
        .where(taker.c.matched_event_id == events.c.id, sa.or_(taken, sa.and_(resumed, same_execution)))
    )


def _counted() -> sa.ColumnElement[bool]:
    """Whether the event was one of several that resumed an earlier wait of the same execution."""
    earlier = waits.alias("counter")
    same_execution = earlier.c.workflow_execution_id == waits.c.workflow_execution_id
    return sa.exists(
        sa.select(sa.literal_column("1"))
        .select_from(matches.join(earlier, earlier.c.id == matches.c.wait_id))
        .where(matches.c.event_id == events.c.id, _resumed(earlier), same_execution)
    )


def _resumed(wait: FromClause) -> sa.ColumnElement[bool]:
    ended = [literal(each, waits.c.resolution) for each in Resolution if each.status is WaitExecutionStatus.RESUMED]
    return wait.c.resolution.in_(ended)
