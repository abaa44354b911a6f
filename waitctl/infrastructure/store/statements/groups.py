"""Waits that take more than one event: what they have counted, which of their groups are satisfied, and how they end.

Events of two topics of one wait are recorded at the same time, since recorders share their locks: each could count its
half and see nothing of the other's. So the waits' rows are locked first, by id and in a statement of its own; the
statements after it see what others committed meanwhile (READ COMMITTED). One order for everybody: buckets → grouped
waits → the other waits → listeners → deliveries.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause

from waitctl.domain.statuses import ListenerStatus, Outcome
from waitctl.infrastructure.dialects import JsonRows, is_one_of
from waitctl.infrastructure.schema import events, listeners, matches, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.statements.completion import ACTIVE, ID, NOW, WAITING, handler_of
from waitctl.infrastructure.store.statements.match_predicates import CONDITIONAL, GROUPED, distinct_value, fits, fitting
from waitctl.infrastructure.store.statements.waits import literal


@statement
def _lock_grouped(scope: str) -> sa.Select[Any]:
    """Lock the grouped waits that these events may fit, by id and before all others; and count them."""
    touched = sa.select(listeners.c.wait_id).select_from(fitting()).where(*fits(scope), GROUPED)
    locked = (
        sa.select(waits.c.id)
        .where(is_one_of(waits.c.id, touched), WAITING)
        .order_by(waits.c.id)
        .with_for_update()
        .subquery("locked")
    )
    return sa.select(sa.func.count()).select_from(locked)


@statement
def _count_events(scope: str) -> sa.Insert:
    """Count the events that fit grouped waits, the oldest first. Locks nothing: `lock_grouped` has."""
    source: FromClause = fitting()
    if scope == "judged":
        pair = JsonRows("judged", {"id": ID, "listener_id": ID, "event_id": ID})
        # From the pairs on: both rows are found by their keys.
        source = pair.join(events, events.c.id == pair.c.event_id).join(listeners, listeners.c.id == pair.c.listener_id)
        source = source.join(waits, waits.c.id == listeners.c.wait_id)
        conditions: list[sa.ColumnElement[bool]] = [ACTIVE, WAITING, GROUPED]
    else:
        conditions = [*fits(scope), GROUPED, ~CONDITIONAL]
    return _insert_matches(source, conditions)


def _insert_matches(source: FromClause, conditions: list[sa.ColumnElement[bool]]) -> sa.Insert:
    value = distinct_value()
    there = sa.exists().where(matches.c.wait_id == listeners.c.wait_id, matches.c.event_id == events.c.id)
    fit = (
        sa.select(
            listeners.c.wait_id,
            listeners.c.id.label("listener_id"),
            events.c.id.label("event_id"),
            listeners.c.group_no,
            listeners.c.needed,
            value.label("distinct_value"),
            events.c.received_at,
        )
        .select_from(source)
        .where(*conditions, ~there, sa.or_(listeners.c.distinct.is_(None), value.is_not(None)))
        .subquery("fit")
    )
    oldest_first = [fit.c.received_at, fit.c.event_id]
    seen = sa.exists().where(
        matches.c.wait_id == fit.c.wait_id,
        matches.c.group_no == fit.c.group_no,
        matches.c.distinct_value == fit.c.distinct_value,
    )
    # Without a distinct value every event is one of its own.
    alike = [fit.c.wait_id, fit.c.group_no, sa.func.coalesce(fit.c.distinct_value, sa.cast(fit.c.event_id, sa.Text))]
    once = (
        sa.select(fit, sa.func.row_number().over(partition_by=alike, order_by=oldest_first).label("place"))
        .where(sa.or_(fit.c.distinct_value.is_(None), ~seen))
        .subquery("once")
    )
    ranked = (
        sa.select(
            once,
            sa.func.row_number()
            .over(partition_by=[once.c.wait_id, once.c.group_no], order_by=[once.c.received_at, once.c.event_id])
            .label("rank"),
        )
        .where(once.c.place == 1)
        .subquery("ranked")
    )
    names = [column.name for column in matches.c if column.name != "matched_at"]
    rows = sa.select(*(ranked.c[name] for name in names), NOW).where(
        ranked.c.rank <= ranked.c.needed - _counted(ranked)
    )
    return sa.insert(matches).from_select([*names, "matched_at"], rows)


def _counted(of: FromClause) -> sa.ScalarSelect[Any]:
    """How many events a group has counted."""
    return (
        sa.select(sa.func.count())
        .where(matches.c.wait_id == of.c.wait_id, matches.c.group_no == of.c.group_no)
        .correlate(of)
        .scalar_subquery()
    )


def _touched(scope: str) -> sa.Select[Any]:
    """The waits that have counted one of these events, or these waits."""
    wanted = JsonRows("wanted", {"id": ID})
    if scope == "wait":
        return sa.select(wanted.c.id)
    return sa.select(matches.c.wait_id).where(is_one_of(matches.c.event_id, sa.select(wanted.c.id)))


def _is_correlated_now(scope: str, counted: FromClause) -> sa.ColumnElement[bool]:
    """Whether what was counted is one of these events, or of these waits."""
    wanted = sa.select(JsonRows("wanted", {"id": ID}).c.id)
    return is_one_of(counted.c.wait_id if scope == "wait" else counted.c.event_id, wanted)


@statement
def _close_satisfied(scope: str) -> sa.Update:
    """Listeners of groups that have what they need listen no more: those that counted an event show the last one.

    That is one of those that are correlated now, if there is one: see `complete_waits`.
    """
    last = (
        sa.select(matches.c.event_id)
        .where(matches.c.wait_id == listeners.c.wait_id, matches.c.listener_id == listeners.c.id)
        .order_by(
            sa.case((_is_correlated_now(scope, matches), sa.literal_column("0")), else_=sa.literal_column("1")),
            matches.c.received_at.desc(),
            matches.c.event_id.desc(),
        )
        .limit(1)
        .correlate(listeners)
        .scalar_subquery()
    )
    status = listeners.c.status
    ended = sa.case(
        (last.is_not(None), literal(ListenerStatus.MATCHED, status)), else_=literal(ListenerStatus.CANCELLED, status)
    )
    return (
        sa.update(listeners)
        .values(
            {
                "status": sa.cast(ended, status.type),
                "matched_event_id": last,
                "matched_at": sa.case((last.is_not(None), NOW)),
            }
        )
        .where(
            is_one_of(listeners.c.wait_id, _touched(scope)),
            ACTIVE,
            GROUPED,
            _counted(listeners) >= listeners.c.needed,
        )
    )


def complete_waits(scope: str, *, gated: bool) -> sa.Select[Any]:
    """The grouped waits that have all they need, and the event that completed them.

    Of several that are correlated together it is the one received last. One that is correlated late completes a wait
    though what it had counted before was received after it.
    """
    newest, newer = matches.alias("newest"), matches.alias("newer")
    is_newer = sa.tuple_(newer.c.received_at, newer.c.event_id) > sa.tuple_(newest.c.received_at, newest.c.event_id)
    is_newest = ~sa.exists().where(newer.c.wait_id == newest.c.wait_id, is_newer, _is_correlated_now(scope, newer))
    listening = sa.exists().where(listeners.c.wait_id == waits.c.id, ACTIVE)
    in_window_only = sa.exists().where(listeners.c.wait_id == waits.c.id, listeners.c.gated)
    columns = [waits.c.status.label("from_status"), handler_of(Outcome.EVENT), newest.c.event_id, newest.c.listener_id]
    if gated:
        columns = [newest.c.event_id, newest.c.listener_id, newest.c.received_at, waits.c.timezone, waits.c.wait_config]
        columns.append(sa.true().label("gated"))
    identifier = waits.c.id.label("wait_id") if gated else waits.c.id
    return (
        sa.select(identifier, *columns)
        .join(newest, newest.c.wait_id == waits.c.id)
        .where(
            _is_correlated_now(scope, newest),
            WAITING,
            is_newest,
            ~listening,
            in_window_only if gated else ~in_window_only,
        )
        .order_by(waits.c.id)
        .with_for_update(of=waits)
    )
