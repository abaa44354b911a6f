"""Statements of plans: what waits are to become, and what has become of them; `plan_steps` does it.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries. A plan's own row comes before all
of them: it is locked by whoever works at the plan, and by nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause

from waitctl.domain.plans import Fate, PlanStatus
from waitctl.domain.statuses import WaitExecutionStatus
from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.dialects import Tuples, is_among, is_joined_among, is_one_of
from waitctl.infrastructure.schema import listeners, plan_entries, plans, transitions, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.statements.completion import (
    ID,
    LIMIT,
    NOW,
    WAITING,
)
from waitctl.infrastructure.store.statements.waits import OPEN_WAIT, literal

PLAN = sa.bindparam("plan", type_=ID)
OF_PLAN = plan_entries.c.plan_id == PLAN
ENTRY_WAIT = plan_entries.c.wait_id
_FATE = {False: plan_entries.c.fate, True: plan_entries.c.undone_fate}

# -- a plan ------------------------------------------------------------------------------------------------------------


@statement
def _insert_plan() -> sa.Insert:
    """Insert a plan that is being written."""
    return sa.insert(plans)


@statement
def _finish_planning() -> sa.Update:
    """A plan is complete: it can be applied."""
    written = sa.select(sa.func.count()).select_from(plan_entries).where(OF_PLAN)
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
    """Something that the listeners of a wait have in common, if it waits for them."""
    found = sa.select(value).where(listeners.c.wait_id == waits.c.id)
    return sa.case((WAITING, found.limit(_ONE).correlate(waits).scalar_subquery()))


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
    at = sa.case((WAITING, waits.c.timeout_at), else_=waits.c.scheduled_at).label("at")
    config = sa.cast(waits.c.wait_config, sa.Text).label("config")
    seen = (waits.c.id, WAITING.label("listens"), waits.c.updated_at, at)
    return sa.select(*seen, waits.c.timezone, config, waits.c.late_policy).where(is_among(waits.c.id), OPEN_WAIT)


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
    rows = sa.select(PLAN, *values).join_from(given, waits, is_same).where(is_joined_among(waits.c.id))
    return sa.insert(plan_entries).from_select(["plan_id", *names], rows)


_BEYOND = ENTRY_WAIT > sa.bindparam("beyond", type_=ID)
IN_BATCH = sa.and_(OF_PLAN, _BEYOND, ENTRY_WAIT <= sa.bindparam("last", type_=ID))
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
    left = sa.select(ENTRY_WAIT, plan_entries.c.from_status).where(OF_PLAN, _BEYOND, _is_left(undone))
    return left.order_by(ENTRY_WAIT).limit(LIMIT)


def noted(claimed: FromClause, fate: Fate) -> sa.Update:
    """What was done to the claimed waits of a plan, and when.

    Not by a join: what PostgreSQL knows of older plans tells it that a new one has one row, and it would go through all
    claimed waits for each of its rows.
    """
    changed = {_FATE[fate is Fate.UNDONE]: sa.literal(fate.value, sa.Text), plan_entries.c.seen_at: NOW}
    return sa.update(plan_entries).values(changed).where(IN_BATCH, is_one_of(ENTRY_WAIT, sa.select(claimed.c.id)))


@statement
def _note_skipped(undone: bool) -> sa.Update:
    """Note why these waits of a batch were left as they are."""
    fate = sa.bindparam("to_fate", type_=sa.Text)
    return sa.update(plan_entries).values({_FATE[undone]: fate}).where(IN_BATCH, is_among(ENTRY_WAIT))


@statement
def _list_entries() -> sa.Select[Any]:
    """Waits of a plan by id, beyond one."""
    whose = (ENTRY_WAIT, waits.c.workflow_execution_id, waits.c.step_id)
    names = ("from_status", "due_before", "due_after", "fate", "undone_fate", "note")
    found = sa.select(*whose, *(plan_entries.c[name] for name in names))
    found = found.join_from(plan_entries, waits, waits.c.id == ENTRY_WAIT, isouter=True)
    return found.where(OF_PLAN, _BEYOND).order_by(ENTRY_WAIT).limit(LIMIT)


@statement
def _seen_at_of() -> sa.Select[Any]:
    """When a plan last saw, or changed, the waits of a batch."""
    return sa.select(ENTRY_WAIT, plan_entries.c.seen_at).where(IN_BATCH)


@statement
def _look_at_entries(undone: bool) -> sa.Select[Any]:
    """How the waits of a batch are that nothing was done to."""
    now = (waits.c.status, _is_unchanged(undone).label("is_unchanged"), is_taken().label("is_taken"))
    found = sa.select(ENTRY_WAIT, *now).join_from(plan_entries, waits, waits.c.id == ENTRY_WAIT, isouter=True)
    return found.where(IN_BATCH, _is_left(undone))


def is_taken() -> sa.ColumnElement[bool]:
    """Whether the wait's step has another open wait."""
    other = waits.alias("other")
    is_open = other.c.status.in_([literal(each, waits.c.status) for each in WaitExecutionStatus if each.is_open])
    same = (other.c.workflow_execution_id == waits.c.workflow_execution_id, other.c.step_id == waits.c.step_id)
    return sa.exists().where(*same, is_open, other.c.id != waits.c.id).correlate(waits)


def _is_unchanged(undone: bool) -> sa.ColumnElement[bool]:
    """Whether nothing has touched the wait since it was seen; or nothing but the plan, one line of the audit trail."""
    beyond = (transitions.c.wait_id == waits.c.id, transitions.c.id > plan_entries.c.last_line)
    lines = sa.select(sa.func.count()).where(*beyond).correlate(waits, plan_entries).scalar_subquery()
    is_same = waits.c.updated_at == plan_entries.c.seen_at
    if undone:
        return sa.and_(is_same, lines == sa.literal_column("1", sa.Integer))
    return sa.and_(is_same, ~sa.exists().where(*beyond).correlate(waits, plan_entries))


def untouched(undone: bool, *columns: Any) -> sa.Select[Any]:
    """The waits of a batch that nobody has touched, locked by id."""
    claim = sa.select(waits.c.id, waits.c.status.label("from_status"), *columns)
    claim = claim.join_from(plan_entries, waits, waits.c.id == ENTRY_WAIT)
    untouched = claim.where(IN_BATCH, _is_left(undone), _is_unchanged(undone))
    return untouched.order_by(waits.c.id).with_for_update(of=waits)


# -- pruning -----------------------------------------------------------------------------------------------------------


@statement
def _find_expired_plans() -> sa.Select[Any]:
    """The plans that have expired, the oldest first. Locks them, past the locked ones."""
    expired = sa.select(plans.c.id).where(plans.c.expires_at <= NOW).order_by(plans.c.expires_at)
    return expired.limit(_ONE).with_for_update(skip_locked=True)


@statement
def _delete_entries() -> sa.Delete:
    """Delete waits of a plan, some at once."""
    some = sa.select(ENTRY_WAIT).where(OF_PLAN).order_by(ENTRY_WAIT).limit(LIMIT)
    return sa.delete(plan_entries).where(OF_PLAN, ENTRY_WAIT.in_(some))


@statement
def _delete_plan() -> sa.Delete:
    """Delete a plan that has no waits any more."""
    return sa.delete(plans).where(plans.c.id == PLAN)
