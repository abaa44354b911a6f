"""Which events fit which open listeners: the rule of `waitctl.domain.near_misses`, in SQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause

from waitctl.domain.listeners import MACHINE, MAX_DISTINCT
from waitctl.domain.text import to_json
from waitctl.domain.waits import Resolution, WaitExecutionStatus
from waitctl.infrastructure.dialects import JsonRows, contains, is_one_of, matches_text, scalar_text
from waitctl.infrastructure.schema import events, listeners, matches, waits
from waitctl.infrastructure.store.statements.completion import ACTIVE, ID, NOW, WAITING
from waitctl.infrastructure.store.statements.waits import literal

JUDGED = sa.or_(listeners.c.exclusive, listeners.c.gated, listeners.c.where.is_not(None))
"""Listeners that Python has a say in: who takes an event, when its window opens, whether its condition holds."""

GROUPED = listeners.c.group_no > sa.literal_column("0")
"""Listeners that take more than their one event to end the wait."""

CONDITIONAL = listeners.c.where.is_not(None)

_SAME_TOPIC = sa.and_(events.c.contact_id == listeners.c.contact_id, events.c.event_type == listeners.c.event_type)


def fitting() -> FromClause:
    """Events beside the listeners of their topic and the listeners' waits."""
    return events.join(listeners, _SAME_TOPIC).join(waits, waits.c.id == listeners.c.wait_id)


def of_scope(scope: str) -> sa.ColumnElement[bool]:
    """Which events, or which waits' listeners, it is about."""
    wanted = JsonRows("wanted", {"id": ID})
    subject = events.c.id if scope == "events" else listeners.c.wait_id
    return is_one_of(subject, sa.select(wanted.c.id))


def kinds(scope: str) -> sa.Select[Any]:
    """Whether any listener of these topics is grouped, and whether any is judged. As a rule none is."""
    grouped, judged = (
        sa.func.max(sa.case((condition, sa.literal_column("1")), else_=sa.literal_column("0")))
        for condition in (GROUPED, JUDGED)
    )
    source = listeners if scope == "wait" else events.join(listeners, _SAME_TOPIC)
    return sa.select(grouped, judged).select_from(source).where(of_scope(scope), ACTIVE)


def fits(scope: str) -> list[sa.ColumnElement[bool]]:
    """`near_misses.matches` in SQL, but for ``where``, which Python evaluates, and ``distinct``, asked in counting.

    Parameters: ``wanted``, ``now``.
    """
    return [
        of_scope(scope),
        ACTIVE,
        WAITING,
        sa.or_(events.c.expires_at.is_(None), events.c.expires_at > NOW),
        events.c.received_at >= listeners.c.since_at,
        sa.or_(
            listeners.c.expires_at.is_(None),
            sa.and_(
                events.c.received_at < listeners.c.expires_at,
                sa.or_(events.c.received_at < listeners.c.timeout_at, events.c.occurred_at < listeners.c.timeout_at),
            ),
        ),
        sa.or_(listeners.c.match.is_(None), matches_text(events.c.data, listeners.c.match)),
        sa.or_(listeners.c.match_json.is_(None), contains(events.c.data, listeners.c.match_json)),
        sa.or_(~listeners.c.human, ~contains(events.c.data, _MACHINE)),
        ~_consumed(),
        ~_counted(),
    ]


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
