"""Statements that do what plans say, and undo it: in batches, each only to waits that are as they were seen.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries. A plan's own row comes before all
of them: it is locked by whoever works at the plan, and by nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.plans import Fate
from waitctl.domain.recurrence import CANCELLED, RecurrenceStatus
from waitctl.domain.statuses import DeliveryStatus, ListenerStatus, Outcome, Resolution, WaitExecutionStatus
from waitctl.domain.waits import NUMBER, RECURRENCE
from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.dialects import Tuples, insert_new, is_among, is_one_of
from waitctl.infrastructure.schema import deliveries, events, listeners, plan_entries, recurrences, uncounted, waits
from waitctl.infrastructure.sql_batch import Claimed, statement
from waitctl.infrastructure.store.statements.completion import (
    ACTIVE,
    ID,
    NOW,
    SCHEDULED,
    WAITING,
    audit,
    claimed_ids,
    ending_steps,
    handler_of,
)
from waitctl.infrastructure.store.statements.deliveries import in_status
from waitctl.infrastructure.store.statements.plans import (
    AFTER,
    ENTRY_WAIT,
    IN_BATCH,
    OF_PLAN,
    PLAN,
    SEEN,
    is_taken,
    noted,
    untouched,
)
from waitctl.infrastructure.store.statements.recurrences import OPEN_RECURRENCE
from waitctl.infrastructure.store.statements.rescheduling import moving_steps, redirecting_steps
from waitctl.infrastructure.store.statements.waits import OPEN_WAIT, literal

# -- ending ------------------------------------------------------------------------------------------------------------


@statement
def _end_planned(resolution: Resolution) -> Claimed:
    """End the waits of a batch that nobody has touched. Locks the waits by id, then their listeners."""
    claim = untouched(False, handler_of(Outcome.MANUAL)).where(OPEN_WAIT)
    if resolution is Resolution.MANUAL:
        claim = claim.where(sa.or_(SCHEDULED, ~_has_expired()))

    def steps(claimed: FromClause) -> dict[str, UpdateBase]:
        return ending_steps(claimed, resolution) | {"noted": noted(claimed, Fate.APPLIED)}

    return Claimed(claim, steps, claimed_ids)


def _has_expired() -> sa.ColumnElement[bool]:
    """Whether a tick would time the wait out."""
    return sa.exists().where(listeners.c.wait_id == waits.c.id, ACTIVE, listeners.c.expires_at <= NOW).correlate(waits)


@statement
def _reopen_planned(to: WaitExecutionStatus) -> Claimed:
    """Open the waits of a batch again that nobody has touched since they were cancelled, and whose step is free.

    A recurring one only if its recurrence can go on with it.
    Locks the waits by id, then their listeners. Their topics are locked.
    """
    cancelled = waits.c.status == literal(WaitExecutionStatus.CANCELLED, waits.c.status)
    before = plan_entries.c.from_status == literal(to, waits.c.status)
    claim = untouched(True).where(cancelled, before, ~is_taken(), sa.or_(_RECURRENCE.is_(None), _may_recur()))

    def steps(claimed: FromClause) -> dict[str, UpdateBase]:
        status = literal(to, waits.c.status)
        opened = {"status": status, "resolution": sa.null(), "resolved_at": sa.null(), "updated_at": NOW}
        reopened = sa.update(waits).values(opened).where(waits.c.id == claimed.c.id, cancelled)
        done: dict[str, UpdateBase] = {
            "reopened": reopened,
            "audited": audit(claimed, status),
            "noted": noted(claimed, Fate.UNDONE),
            "forgotten": sa.delete(uncounted).where(is_one_of(uncounted.c.wait_id, sa.select(claimed.c.id))),
        }
        return done | ({"listening": _listen_again(claimed)} if to is WaitExecutionStatus.WAITING else {})

    return Claimed(claim, steps, claimed_ids)


def _listen_again(claimed: FromClause) -> UpdateBase:
    """The listeners that closed with their wait: not those of a group that had what it needed before."""
    closed = listeners.c.status == literal(ListenerStatus.CANCELLED, listeners.c.status)
    other = listeners.alias("other")
    satisfied = sa.exists().where(
        other.c.wait_id == listeners.c.wait_id,
        other.c.group_no == listeners.c.group_no,
        other.c.status == literal(ListenerStatus.MATCHED, listeners.c.status),
    )
    active = literal(ListenerStatus.ACTIVE, listeners.c.status)
    again = sa.update(listeners).values(status=active)
    return again.where(listeners.c.wait_id == claimed.c.id, closed, ~satisfied)


_RECURRENCE = waits.c.wait_config[RECURRENCE].as_string()


def _stopped_with_it() -> list[sa.ColumnElement[bool]]:
    """Whether a recurrence was stopped because its last wait, which this is, was cancelled."""
    return [
        recurrences.c.id == sa.cast(_RECURRENCE, recurrences.c.id.type),
        recurrences.c.occurrence == waits.c.wait_config[NUMBER].as_integer(),
        recurrences.c.status == literal(RecurrenceStatus.STOPPED.value, recurrences.c.status),
        recurrences.c.status_reason == literal(CANCELLED, recurrences.c.status_reason),
    ]


def _may_recur() -> sa.ColumnElement[bool]:
    """Whether the recurrence of a wait that was cancelled can go on with it: nothing else recurs at its step."""
    stopped = sa.exists().where(*_stopped_with_it()).correlate(waits)
    step = (
        recurrences.c.workflow_execution_id == waits.c.workflow_execution_id,
        recurrences.c.step_id == waits.c.step_id,
    )
    return sa.and_(stopped, ~sa.exists().where(*step, OPEN_RECURRENCE).correlate(waits))


@statement
def _revive_recurrences() -> sa.Update:
    """The recurrences of these waits, which are open again, go on; and what is open again to stop them, does."""
    stop = waits.alias("stop")
    head = sa.func.substr(recurrences.c.step_id, sa.literal_column("1"), sa.literal_column("240"), type_=sa.Text)
    step = head + sa.literal_column("'.stop'", sa.Text)
    is_open = stop.c.status == literal(WaitExecutionStatus.WAITING, waits.c.status)
    theirs = sa.and_(stop.c.workflow_execution_id == recurrences.c.workflow_execution_id, stop.c.step_id == step)
    found = sa.select(stop.c.id).where(theirs, is_open).correlate(recurrences).scalar_subquery()
    active: dict[str, Any] = {
        "status": literal(RecurrenceStatus.ACTIVE.value, recurrences.c.status),
        "status_reason": sa.null(),
        "wait_id": waits.c.id,
        "next_at": waits.c.scheduled_at,
        "stop_wait_id": sa.case((recurrences.c.stop_on.is_not(None), found)),
        "updated_at": NOW,
    }
    return sa.update(recurrences).values(active).where(is_among(waits.c.id), *_stopped_with_it())


@statement
def _find_stop_waits() -> sa.Select[Any]:
    """The waits that would stop the recurrences of these waits."""
    return sa.select(recurrences.c.stop_wait_id).where(
        is_among(recurrences.c.wait_id), recurrences.c.stop_wait_id.is_not(None)
    )


@statement
def _add_entries() -> sa.Insert:
    """These open waits come into a plan, too, unless they are in it."""
    rows = sa.select(PLAN, *SEEN.values()).where(is_among(waits.c.id), OPEN_WAIT)
    return insert_new(plan_entries).from_select(["plan_id", *SEEN], rows)


@statement
def _note_ended() -> sa.Update:
    """These waits of a plan were ended with others."""
    changed = {"fate": sa.literal(Fate.APPLIED.value, sa.Text), "seen_at": NOW}
    return sa.update(plan_entries).values(changed).where(OF_PLAN, is_among(ENTRY_WAIT))


@statement
def _topics_of() -> sa.Select[Any]:
    """The topics of the listeners of the waits of a batch."""
    topics = sa.select(listeners.c.event_type, listeners.c.contact_id)
    return topics.join_from(plan_entries, listeners, listeners.c.wait_id == ENTRY_WAIT).where(IN_BATCH).distinct()


@statement
def _find_missed() -> sa.Select[Any]:
    """Of these waits, which listen again, those for whose topics an event came while they did not. Locks nothing."""
    since = Tuples("since", {"id": ID, "at": UtcDateTime()})
    event = sa.select(sa.true()).where(
        events.c.contact_id == listeners.c.contact_id,
        events.c.event_type == listeners.c.event_type,
        events.c.received_at >= since.c.at,
    )
    found = sa.select(listeners.c.wait_id).join_from(since, listeners, listeners.c.wait_id == since.c.id)
    return found.where(ACTIVE, event.limit(sa.literal_column("1")).correlate(listeners, since).scalar_subquery())


# -- moving ------------------------------------------------------------------------------------------------------------


def _sides(back: bool, names: Iterable[str]) -> dict[str, sa.Column[Any]]:
    """Where a plan moves a wait, or where it was before."""
    return {name: plan_entries.c[f"{name}_{'before' if back else 'after'}"] for name in names}


@statement
def _move_planned(back: bool) -> Claimed:
    """Give the scheduled waits of a batch that nobody has touched their new instant, or the old one back.

    Locks the waits by id. None becomes due by a new one.
    """
    at, *others = _sides(back, ("due", *_CONFIGURED)).items()
    columns = [at[1].label("scheduled_at"), *(column.label(name) for name, column in others), *_why(back)]
    claim = untouched(back, *columns).where(SCHEDULED, at[1].is_not(None) if back else at[1] > NOW)

    fate = Fate.UNDONE if back else Fate.APPLIED
    return Claimed(claim, lambda claimed: moving_steps(claimed) | {"noted": noted(claimed, fate)}, claimed_ids)


@statement
def _redirect_planned(back: bool) -> Claimed:
    """Give the waits of a batch that listen and nobody has touched their new deadline, or the old one back.

    Locks the waits by id, then their listeners. Their topics are locked.
    """
    sides = _sides(back, AFTER)
    at, expires = sides.pop("due"), sides.pop("expires")
    others = [*(column.label(name) for name, column in sides.items()), *_why(back)]
    claim = untouched(back, at.label("timeout_at"), expires.label("expires_at"), *others).where(WAITING)
    if not back:
        claim = claim.where(sa.or_(at.is_(None), at > NOW))

    fate = Fate.UNDONE if back else Fate.APPLIED
    return Claimed(claim, lambda claimed: redirecting_steps(claimed) | {"noted": noted(claimed, fate)}, claimed_ids)


_CONFIGURED = ("config", "late_policy", "timezone")


def _why(back: bool) -> list[sa.ColumnElement[Any]]:
    """What the audit trail says: of a wait that moves for a reason of its own that, too."""
    if back:
        return []
    reason = sa.bindparam("reason", type_=sa.Text)
    own = sa.literal_column("': '", sa.Text) + plan_entries.c.note
    return [(reason + sa.func.coalesce(own, sa.literal_column("''"), type_=sa.Text)).label("reason")]


# -- retrying ----------------------------------------------------------------------------------------------------------


@statement
def _claim_planned() -> Claimed:
    """The waits of a batch that nobody has touched, whatever is then done to them. Locks the waits by id."""
    return Claimed(untouched(False), lambda claimed: {"noted": noted(claimed, Fate.APPLIED)}, claimed_ids)


@statement
def _dead_of() -> sa.Select[Any]:
    """The dead deliveries of these waits."""
    return sa.select(deliveries.c.id).where(is_among(deliveries.c.wait_id), in_status(DeliveryStatus.DEAD))
