"""Statements of plans: what waits are to become, done and undone in batches, each only to what is as it was seen.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries. A plan's own row comes before all
of them: it is locked by whoever works at the plan, and by nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.deliveries import DeliveryStatus, Outcome
from waitctl.domain.listeners import ListenerStatus
from waitctl.domain.plans import Fate, PlanStatus
from waitctl.domain.recurrence import CANCELLED, NUMBER, RECURRENCE, RecurrenceStatus
from waitctl.domain.waits import Resolution, WaitExecutionStatus
from waitctl.infrastructure.dialects import Tuples, insert_new, is_among
from waitctl.infrastructure.schema import (
    UtcDateTime,
    deliveries,
    events,
    listeners,
    plan_entries,
    plans,
    recurrences,
    transitions,
    waits,
)
from waitctl.infrastructure.sql_batch import Claimed, statement
from waitctl.infrastructure.store.statements.completion import (
    ACTIVE,
    ID,
    LIMIT,
    NOW,
    SCHEDULED,
    WAITING,
    audit,
    claimed_ids,
    ending_steps,
    handler_of,
)
from waitctl.infrastructure.store.statements.deliveries import in_status
from waitctl.infrastructure.store.statements.recurrences import OPEN_RECURRENCE
from waitctl.infrastructure.store.statements.rescheduling import moving_steps, redirecting_steps
from waitctl.infrastructure.store.statements.waits import OPEN_WAIT, literal

PLAN = sa.bindparam("plan", type_=ID)
_OF_PLAN = plan_entries.c.plan_id == PLAN
_ENTRY_WAIT = plan_entries.c.wait_id
_FATE = {False: plan_entries.c.fate, True: plan_entries.c.undone_fate}

# -- a plan ------------------------------------------------------------------------------------------------------------


@statement
def _insert_plan() -> sa.Insert:
    """Insert a plan that is being written."""
    return sa.insert(plans)


@statement
def _finish_planning() -> sa.Update:
    """A plan is complete: it can be applied."""
    written = sa.select(sa.func.count()).select_from(plan_entries).where(_OF_PLAN)
    changed = {"status": sa.literal(PlanStatus.PLANNED.value, sa.Text), "matched": written.scalar_subquery()}
    return sa.update(plans).values(changed).where(plans.c.id == PLAN)


@statement
def _lock_plan() -> sa.Select[Any]:
    """A plan by its id. Locks it."""
    return sa.select(plans).where(plans.c.id == PLAN).with_for_update()


@statement
def _get_plans(of_one: bool) -> sa.Select[Any]:
    """A plan by its id, or those that come next, the newest first."""
    if of_one:
        return sa.select(plans).where(plans.c.id == PLAN)
    last = sa.bindparam("last", type_=ID)
    return sa.select(plans).where(plans.c.id < last).order_by(plans.c.id.desc()).limit(LIMIT)


@statement
def _begin_run() -> sa.Update:
    """Somebody begins to work at a plan, and keeps others off for a while."""
    changed = {
        "status": sa.bindparam("to_status", type_=sa.Text),
        "run": plans.c.run + sa.literal_column("1", sa.Integer),
        "lease_expires_at": sa.bindparam("until", type_=UtcDateTime),
    }
    return sa.update(plans).values(changed).where(plans.c.id == PLAN)


@statement
def _renew_run() -> Any:
    """Whoever works at a plan goes on, unless somebody else has taken it over. Locks the plan."""
    is_mine = plans.c.run == sa.bindparam("own_run", type_=sa.Integer)
    renewed = sa.update(plans).values(lease_expires_at=sa.bindparam("until", type_=UtcDateTime))
    return renewed.where(plans.c.id == PLAN, is_mine).returning(plans.c.id)


@statement
def _finish_run(undone: bool) -> sa.Update:
    """A plan has been applied, or undone."""
    is_mine = plans.c.run == sa.bindparam("own_run", type_=sa.Integer)
    status = PlanStatus.UNDONE if undone else PlanStatus.APPLIED
    changed = {
        plans.c.status: sa.literal(status.value, sa.Text),
        plans.c.lease_expires_at: sa.null(),
        (plans.c.undone_at if undone else plans.c.applied_at): NOW,
    }
    return sa.update(plans).values(changed).where(plans.c.id == PLAN, is_mine)


@statement
def _count_fates() -> sa.Select[Any]:
    """What became of the waits of these plans, by plan and fate."""
    fates = (plan_entries.c.plan_id, plan_entries.c.fate, plan_entries.c.undone_fate)
    return sa.select(*fates, sa.func.count()).where(is_among(plan_entries.c.plan_id)).group_by(*fates)


# -- its entries -------------------------------------------------------------------------------------------------------


def last_line(wait_id: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """The end of a wait's audit trail, by which any change of the wait is known."""
    last = sa.select(sa.func.max(transitions.c.id)).where(transitions.c.wait_id == wait_id)
    return sa.func.coalesce(last.correlate(waits, plan_entries).scalar_subquery(), sa.literal_column("0"))


def _of_listeners(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Something that a wait's listeners have in common."""
    found = sa.select(value).where(listeners.c.wait_id == waits.c.id)
    return found.limit(_ONE).correlate(waits).scalar_subquery()


_ONE: sa.ColumnElement[int] = sa.literal_column("1")
_DUE = sa.func.coalesce(waits.c.scheduled_at, waits.c.timeout_at, type_=UtcDateTime)

SEEN: Mapping[str, sa.ColumnElement[Any]] = {
    "wait_id": waits.c.id,
    "from_status": waits.c.status,
    "seen_at": waits.c.updated_at,
    "last_line": last_line(waits.c.id),
    "due_before": _DUE,
}
"""What an entry keeps of a wait."""

BEFORE: Mapping[str, sa.ColumnElement[Any]] = {
    "expires_before": _of_listeners(listeners.c.expires_at),
    "config_before": waits.c.wait_config,
    "late_policy_before": waits.c.late_policy,
    "timezone_before": waits.c.timezone,
    "gated_before": _of_listeners(listeners.c.gated),
}
"""And what else of one that is to move."""

AFTER = ("due", "expires", "config", "late_policy", "timezone", "gated")
"""What a move changes."""


@statement
def _list_movable() -> sa.Select[Any]:
    """Of these waits, if they are open, what says where they can go."""
    names = ("id", "status", "updated_at", "scheduled_at", "timeout_at", "timezone", "wait_config", "late_policy")
    return sa.select(*(waits.c[name] for name in names)).where(is_among(waits.c.id), OPEN_WAIT)


_MOVES = {"id": ID, "seen_at": UtcDateTime()}
_MOVES |= {name: plan_entries.c[f"{name}_after"].type for name in AFTER}
_MOVES |= {"note": sa.Text(), "to_fate": sa.Text()}


@statement
def _insert_moves() -> sa.Insert:
    """The waits of a plan and where they are to go, but those that have changed since they were looked at."""
    given = Tuples("moves", _MOVES)
    names = [*SEEN, *BEFORE, *(f"{name}_after" for name in AFTER), "note", "fate"]
    after = [given.c[name] for name in AFTER]
    values = [*SEEN.values(), *BEFORE.values(), *after, given.c.note, given.c.to_fate]
    is_same = sa.and_(waits.c.id == given.c.id, waits.c.updated_at == given.c.seen_at)
    rows = sa.select(PLAN, *values).join_from(given, waits, is_same)
    return sa.insert(plan_entries).from_select(["plan_id", *names], rows)


_BEYOND = _ENTRY_WAIT > sa.bindparam("beyond", type_=ID)
_IN_BATCH = sa.and_(_OF_PLAN, _BEYOND, _ENTRY_WAIT <= sa.bindparam("last", type_=ID))
"""By the range of its ids, which is looked up in the key whatever PostgreSQL thinks how large a plan is."""


def _is_left(undone: bool) -> sa.ColumnElement[bool]:
    """Whether nothing has become of a wait yet: of one that is to be as before, since it was changed."""
    if not undone:
        return plan_entries.c.fate.is_(None)
    applied = plan_entries.c.fate == sa.literal(Fate.APPLIED.value, sa.Text)
    return sa.and_(applied, plan_entries.c.undone_fate.is_(None))


@statement
def _next_entries(undone: bool) -> sa.Select[Any]:
    """The waits of a plan that nothing has become of yet, by id, beyond one."""
    left = sa.select(_ENTRY_WAIT, plan_entries.c.from_status).where(_OF_PLAN, _BEYOND, _is_left(undone))
    return left.order_by(_ENTRY_WAIT).limit(LIMIT)


def _noted(claimed: FromClause, fate: Fate) -> sa.Update:
    """What was done to the claimed waits of a plan, and when."""
    changed = {_FATE[fate is Fate.UNDONE]: sa.literal(fate.value, sa.Text), plan_entries.c.seen_at: NOW}
    return sa.update(plan_entries).values(changed).where(_OF_PLAN, _ENTRY_WAIT == claimed.c.id)


@statement
def _note_skipped(undone: bool) -> sa.Update:
    """Note why these waits of a batch were left as they are."""
    fate = sa.bindparam("to_fate", type_=sa.Text)
    return sa.update(plan_entries).values({_FATE[undone]: fate}).where(_IN_BATCH, is_among(_ENTRY_WAIT))


@statement
def _list_entries() -> sa.Select[Any]:
    """Waits of a plan by id, beyond one."""
    whose = (_ENTRY_WAIT, waits.c.workflow_execution_id, waits.c.step_id)
    names = ("from_status", "due_before", "due_after", "fate", "undone_fate", "note")
    found = sa.select(*whose, *(plan_entries.c[name] for name in names))
    found = found.join_from(plan_entries, waits, waits.c.id == _ENTRY_WAIT, isouter=True)
    return found.where(_OF_PLAN, _BEYOND).order_by(_ENTRY_WAIT).limit(LIMIT)


@statement
def _seen_at_of() -> sa.Select[Any]:
    """When a plan last saw, or changed, the waits of a batch."""
    return sa.select(_ENTRY_WAIT, plan_entries.c.seen_at).where(_IN_BATCH)


@statement
def _look_at_entries(undone: bool) -> sa.Select[Any]:
    """How the waits of a batch are that nothing was done to."""
    now = (waits.c.status, _is_unchanged(undone).label("is_unchanged"), _is_taken().label("is_taken"))
    found = sa.select(_ENTRY_WAIT, *now).join_from(plan_entries, waits, waits.c.id == _ENTRY_WAIT, isouter=True)
    return found.where(_IN_BATCH, _is_left(undone))


def _is_taken() -> sa.ColumnElement[bool]:
    """Whether the wait's step has another open wait."""
    other = waits.alias("other")
    is_open = other.c.status.in_([literal(each, waits.c.status) for each in WaitExecutionStatus if each.is_open])
    same = (other.c.workflow_execution_id == waits.c.workflow_execution_id, other.c.step_id == waits.c.step_id)
    return sa.exists().where(*same, is_open, other.c.id != waits.c.id).correlate(waits)


def _is_unchanged(undone: bool) -> sa.ColumnElement[bool]:
    """Whether nothing has touched the wait since it was seen; or nothing but the plan, one line of the audit trail."""
    since = sa.select(sa.func.count()).where(
        transitions.c.wait_id == waits.c.id, transitions.c.id > plan_entries.c.last_line
    )
    lines: sa.ColumnElement[int] = sa.literal_column("1" if undone else "0")
    return sa.and_(
        waits.c.updated_at == plan_entries.c.seen_at,
        since.correlate(waits, plan_entries).scalar_subquery() == lines,
    )


def _claim(undone: bool, *columns: Any) -> sa.Select[Any]:
    """The waits of a batch that nobody has touched, locked by id."""
    claim = sa.select(waits.c.id, waits.c.status.label("from_status"), *columns)
    claim = claim.join_from(plan_entries, waits, waits.c.id == _ENTRY_WAIT)
    untouched = claim.where(_IN_BATCH, _is_left(undone), _is_unchanged(undone))
    return untouched.order_by(waits.c.id).with_for_update(of=waits)


# -- ending ------------------------------------------------------------------------------------------------------------


@statement
def _end_planned(resolution: Resolution) -> Claimed:
    """End the waits of a batch that nobody has touched. Locks the waits by id, then their listeners."""
    claim = _claim(False, handler_of(Outcome.MANUAL)).where(OPEN_WAIT)
    if resolution is Resolution.MANUAL:
        claim = claim.where(sa.or_(SCHEDULED, ~_has_expired()))

    def steps(claimed: FromClause) -> dict[str, UpdateBase]:
        return ending_steps(claimed, resolution) | {"noted": _noted(claimed, Fate.APPLIED)}

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
    claim = _claim(True).where(cancelled, before, ~_is_taken(), sa.or_(_RECURRENCE.is_(None), _may_recur()))

    def steps(claimed: FromClause) -> dict[str, UpdateBase]:
        status = literal(to, waits.c.status)
        opened = {"status": status, "resolution": sa.null(), "resolved_at": sa.null(), "updated_at": NOW}
        reopened = sa.update(waits).values(opened).where(waits.c.id == claimed.c.id, cancelled)
        noted = _noted(claimed, Fate.UNDONE)
        done: dict[str, UpdateBase] = {"reopened": reopened, "audited": audit(claimed, status), "noted": noted}
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
    head = sa.func.substr(recurrences.c.step_id, _ONE, sa.literal_column("240"), type_=sa.Text)
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
    return sa.update(plan_entries).values(changed).where(_OF_PLAN, is_among(_ENTRY_WAIT))


@statement
def _topics_of() -> sa.Select[Any]:
    """The topics of the listeners of the waits of a batch."""
    topics = sa.select(listeners.c.event_type, listeners.c.contact_id)
    return topics.join_from(plan_entries, listeners, listeners.c.wait_id == _ENTRY_WAIT).where(_IN_BATCH).distinct()


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
    return found.where(ACTIVE, event.limit(_ONE).correlate(listeners, since).scalar_subquery())


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
    claim = _claim(back, *columns).where(SCHEDULED, at[1].is_not(None) if back else at[1] > NOW)

    fate = Fate.UNDONE if back else Fate.APPLIED
    return Claimed(claim, lambda claimed: moving_steps(claimed) | {"noted": _noted(claimed, fate)}, claimed_ids)


@statement
def _redirect_planned(back: bool) -> Claimed:
    """Give the waits of a batch that listen and nobody has touched their new deadline, or the old one back.

    Locks the waits by id, then their listeners. Their topics are locked.
    """
    sides = _sides(back, AFTER)
    at, expires = sides.pop("due"), sides.pop("expires")
    others = [*(column.label(name) for name, column in sides.items()), *_why(back)]
    claim = _claim(back, at.label("timeout_at"), expires.label("expires_at"), *others).where(WAITING)
    if not back:
        claim = claim.where(sa.or_(at.is_(None), at > NOW))

    fate = Fate.UNDONE if back else Fate.APPLIED
    return Claimed(claim, lambda claimed: redirecting_steps(claimed) | {"noted": _noted(claimed, fate)}, claimed_ids)


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
    return Claimed(_claim(False), lambda claimed: {"noted": _noted(claimed, Fate.APPLIED)}, claimed_ids)


@statement
def _dead_of() -> sa.Select[Any]:
    """The dead deliveries of these waits."""
    return sa.select(deliveries.c.id).where(is_among(deliveries.c.wait_id), in_status(DeliveryStatus.DEAD))


# -- pruning -----------------------------------------------------------------------------------------------------------


@statement
def _find_expired_plans() -> sa.Select[Any]:
    """The plans that have expired, the oldest first. Locks them, past the locked ones."""
    expired = sa.select(plans.c.id).where(plans.c.expires_at <= NOW).order_by(plans.c.expires_at)
    return expired.limit(_ONE).with_for_update(skip_locked=True)


@statement
def _delete_entries() -> sa.Delete:
    """Delete waits of a plan, some at once."""
    some = sa.select(_ENTRY_WAIT).where(_OF_PLAN).order_by(_ENTRY_WAIT).limit(LIMIT)
    return sa.delete(plan_entries).where(_OF_PLAN, _ENTRY_WAIT.in_(some))


@statement
def _delete_plan() -> sa.Delete:
    """Delete a plan that has no waits any more."""
    return sa.delete(plans).where(plans.c.id == PLAN)
