"""Plans of bulk changes: written, done and undone in batches, each only to waits that are as they were seen.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries. A plan's own row comes before all
of them: it is locked by whoever works at the plan, and by nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from waitctl.domain.filters import WaitFilter
from waitctl.domain.plans import Fate, Look, Plan, PlanKind, PlanStatus
from waitctl.domain.statuses import Resolution, WaitExecutionStatus
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.database_errors import is_integrity_error
from waitctl.infrastructure.executor import Connection, Row
from waitctl.infrastructure.kept import Kept, kept
from waitctl.infrastructure.sql_values import instant_text

if TYPE_CHECKING:
    import sqlalchemy as sa

_LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"
FIRST = "00000000-0000-0000-0000-000000000000"
"""Before every id."""

# -- a plan ------------------------------------------------------------------------------------------------------------


def insert_plan(connection: Connection, plan: Plan) -> None:
    """Insert a plan that is being written."""
    names = [name for name in plan.__dataclass_fields__ if name not in {"fates", "undone_fates"}]
    row = {name: getattr(plan, name) for name in names} | {"kind": plan.kind.value, "status": plan.status.value}
    connection.execute(kept("insert_plan"), row)


def finish_planning(connection: Connection, plan_id: str) -> None:
    """A plan is complete: it can be applied."""
    connection.execute(kept("finish_planning"), {"plan": plan_id})


def get_plan(connection: Connection, plan_id: str) -> Plan | None:
    """The plan with this id, and what has become of its waits."""
    rows = connection.execute(kept("get_plans", True), {"plan": plan_id}).all()
    return next(iter(_with_fates(connection, rows)), None)


def list_plans(connection: Connection, *, limit: int, after: str | None) -> list[Plan]:
    """Plans, newest first, older than the one ``after``."""
    rows = connection.execute(kept("get_plans", False), {"last": after or _LAST, "limit": limit}).all()
    return _with_fates(connection, rows)


def lock_plan(connection: Connection, plan_id: str) -> Plan | None:
    """The plan with this id, which nobody else works at until the transaction ends."""
    row = connection.execute(kept("lock_plan"), {"plan": plan_id}).one_or_none()
    return None if row is None else _read(row)


def _read(row: Row) -> Plan:
    plan = Plan(*row)
    return Plan(plan.id, PlanKind(plan.kind), PlanStatus(plan.status), *row[3:])


def _with_fates(connection: Connection, rows: Sequence[Row]) -> list[Plan]:
    found = {plan.id: plan for plan in map(_read, rows)}
    if not found:
        return []
    done: dict[str, tuple[dict[str, int], dict[str, int]]] = {plan_id: ({}, {}) for plan_id in found}
    for plan_id, fate, undone_fate, number in connection.execute(kept("count_fates"), {"ids": list(found)}):
        for counts, each in zip(done[plan_id], (fate, undone_fate), strict=True):
            if each is not None:
                counts[each] = counts.get(each, 0) + number
    return [replace(plan, fates=done[plan.id][0], undone_fates=done[plan.id][1]) for plan in found.values()]


# -- a run -------------------------------------------------------------------------------------------------------------


def begin_run(connection: Connection, plan_id: str, status: PlanStatus, *, until: datetime) -> None:
    """Begin to work at a plan that is locked, and keep others off until then."""
    connection.execute(kept("begin_run"), {"plan": plan_id, "to_status": status.value, "until": until})


def renew_run(connection: Connection, plan_id: str, run: int, *, until: datetime) -> bool:
    """Go on with a plan, and lock it. Returns whether it is still this run's."""
    given = {"plan": plan_id, "own_run": run, "until": until}
    return connection.execute(kept("renew_run"), given).first() is not None


def finish_run(connection: Connection, plan_id: str, run: int, *, undone: bool, now: datetime) -> None:
    """A plan has been applied, or undone."""
    connection.execute(kept("finish_run", undone), {"plan": plan_id, "own_run": run, "now": now})


# -- planning ----------------------------------------------------------------------------------------------------------


def find_wanted(
    connection: Connection, wanted: WaitFilter, kind: PlanKind, *, now: datetime, limit: int | None = None
) -> list[str]:
    """The ids of the waits that a plan of this kind would mean, at most ``limit``."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import waits

    found = sa.select(waits.c.id).where(*_clauses(wanted, kind, now)).limit(limit)
    return list(connection.execute(found).scalars())


def insert_entries(
    connection: Connection, plan_id: str, ids: Sequence[str], wanted: WaitFilter, kind: PlanKind, *, now: datetime
) -> None:
    """Write those of these waits into a plan that the filter still means, as they are now."""
    import sqlalchemy as sa

    from waitctl.infrastructure.dialects import is_among
    from waitctl.infrastructure.schema import plan_entries, waits
    from waitctl.infrastructure.store.statements.plans import PLAN, SEEN

    rows = sa.select(PLAN, *SEEN.values()).where(is_among(waits.c.id), *_clauses(wanted, kind, now))
    insert = sa.insert(plan_entries).from_select(["plan_id", *SEEN], rows)
    connection.execute(insert, {"plan": plan_id, "ids": ids})


def _clauses(wanted: WaitFilter, kind: PlanKind, now: datetime) -> list[sa.ColumnElement[bool]]:
    """The waits that are meant: the open ones of them, or those with a dead delivery."""
    import sqlalchemy as sa

    from waitctl.domain.statuses import DeliveryStatus
    from waitctl.infrastructure.schema import deliveries, waits
    from waitctl.infrastructure.store.statements.deliveries import in_status
    from waitctl.infrastructure.store.statements.filters import clauses
    from waitctl.infrastructure.store.statements.waits import OPEN_WAIT

    if kind is not PlanKind.RETRY:
        return [*clauses(wanted, now=now), OPEN_WAIT]
    dead = sa.select(deliveries.c.wait_id).where(in_status(DeliveryStatus.DEAD))
    return [*clauses(wanted, now=now), waits.c.id.in_(dead)]


class Movable(NamedTuple):
    """What of an open wait says where it can go. If it ``listens`` for events, its deadline is what can be moved.

    ``config`` is JSON: what many of them have in common is read once.
    """

    id: str
    listens: bool
    updated_at: datetime
    at: datetime | None
    timezone: str
    config: str
    late_policy: str | None


def list_movable(connection: Connection, wait_ids: Sequence[str]) -> list[Movable]:
    """Those of these waits that are open."""
    return [Movable(*row) for row in connection.execute(kept("list_movable"), {"ids": wait_ids})]


class PlannedMove(NamedTuple):
    """Where an open wait is to go, as texts: one that was looked at when it had last changed at ``seen_at``."""

    id: str
    seen_at: str | None
    due: str | None
    expires: str | None
    config: str | None
    late_policy: str | None
    timezone: str | None
    gated: str | None
    note: str | None
    fate: str | None


def insert_moves(connection: Connection, plan_id: str, moves: Sequence[PlannedMove]) -> None:
    """Write open waits into a plan, and where they are to go, but those that have changed since."""
    given = {"plan": plan_id, "moves": moves, "ids": [move.id for move in moves]}
    connection.execute(kept("insert_moves"), given)


# -- doing and undoing -------------------------------------------------------------------------------------------------


class Left(NamedTuple):
    """A wait in a plan that nothing has become of yet."""

    wait_id: str
    from_status: WaitExecutionStatus


class PlanBatch(NamedTuple):
    """Some waits of a plan: those beyond an id, up to the last one; of those that are left how many are in a status."""

    plan_id: str
    beyond: str
    last: str
    ids: frozenset[str]
    statuses: frozenset[WaitExecutionStatus]

    @classmethod
    def of(cls, plan_id: str, beyond: str, left: Sequence[Left]) -> PlanBatch:
        """These waits of a plan, and what else of it is beyond an id and before their end."""
        ids, statuses = frozenset(each.wait_id for each in left), frozenset(each.from_status for each in left)
        return cls(plan_id, beyond, left[-1].wait_id, ids, statuses)

    @property
    def bounds(self) -> dict[str, str]:
        """What statements know it by."""
        return {"plan": self.plan_id, "beyond": self.beyond, "last": self.last}


class Audit(NamedTuple):
    """What the audit trail says of a change."""

    now: datetime
    reason: str
    actor: str
    data: JsonObject | None = None


def list_left(connection: Connection, plan_id: str, *, undone: bool, beyond: str, limit: int) -> list[Left]:
    """The waits of a plan that nothing has become of yet, by id, beyond one."""
    given = {"plan": plan_id, "beyond": beyond, "limit": limit}
    return [Left(*row) for row in connection.execute(kept("next_entries", undone), given)]


def end_planned(connection: Connection, batch: PlanBatch, resolution: Resolution, audit: Audit) -> set[str]:
    """End the waits of a batch that nobody has touched. Returns which."""
    return _run(connection, kept("end_planned", resolution), batch, audit)


def move_planned(connection: Connection, batch: PlanBatch, audit: Audit, *, back: bool) -> set[str]:
    """Move the waits of a batch that nobody has touched, or move them back. Returns which.

    The topics of those that wait for events must be locked.
    """
    names = {WaitExecutionStatus.WAITING: "redirect_planned", WaitExecutionStatus.SCHEDULED: "move_planned"}
    moved = [_run(connection, kept(names[each], back), batch, audit) for each in _in_order(batch)]
    return set().union(*moved)


class StepTakenError(Exception):
    """At this moment the step of a wait that was to open again has got another one. The transaction is lost."""


def reopen_planned(connection: Connection, batch: PlanBatch, audit: Audit) -> set[str]:
    """Open the waits of a batch again that a plan has cancelled and nobody has touched since. Returns which.

    The topics of those that wait for events must be locked. Raises `StepTakenError`.
    """
    try:
        opened = [_run(connection, kept("reopen_planned", each), batch, audit) for each in _in_order(batch)]
    except Exception as error:
        if is_integrity_error(error):
            raise StepTakenError from error
        raise
    return set().union(*opened)


def revive_recurrences(connection: Connection, wait_ids: Iterable[str], *, now: datetime) -> None:
    """Let the recurrences of these waits, which are open again, go on."""
    connection.execute(kept("revive_recurrences"), {"ids": sorted(wait_ids), "now": now})


def add_stop_waits(connection: Connection, plan_id: str, wait_ids: Iterable[str]) -> list[str]:
    """Add to a plan the waits that would stop the recurrences of these waits, which end with them. Returns which."""
    found = list(connection.execute(kept("find_stop_waits"), {"ids": sorted(wait_ids)}).scalars())
    if found:
        connection.execute(kept("add_entries"), {"plan": plan_id, "ids": found})
    return found


def note_ended(connection: Connection, plan_id: str, wait_ids: Sequence[str], *, now: datetime) -> None:
    """Note that these waits of a plan were ended with others."""
    connection.execute(kept("note_ended"), {"plan": plan_id, "ids": wait_ids, "now": now})


def claim_planned(connection: Connection, batch: PlanBatch, *, now: datetime) -> set[str]:
    """Lock the waits of a batch that nobody has touched, and note that the plan changes them. Returns which."""
    return {row[0] for row in kept("claim_planned").run(connection, now=now, **batch.bounds)}


def _in_order(batch: PlanBatch) -> list[WaitExecutionStatus]:
    """The statuses of a batch in the order in which their waits are locked: those that listen first, as elsewhere."""
    return sorted(batch.statuses, reverse=True)


def _run(connection: Connection, statement: Kept, batch: PlanBatch, audit: Audit) -> set[str]:
    return {row[0] for row in statement.run(connection, **batch.bounds, **audit._asdict())}


def topics_of(connection: Connection, batch: PlanBatch) -> list[tuple[str, str]]:
    """The topics of the listeners of the waits of a batch."""
    if WaitExecutionStatus.WAITING not in batch.statuses:
        return []
    return [(row[0], row[1]) for row in connection.execute(kept("topics_of"), batch.bounds)]


def seen_at_of(connection: Connection, batch: PlanBatch) -> list[tuple[str, datetime]]:
    """When a plan last saw, or changed, the waits of a batch."""
    return [(row[0], row[1]) for row in connection.execute(kept("seen_at_of"), batch.bounds)]


def find_missed(connection: Connection, since: Iterable[tuple[str, datetime]]) -> list[str]:
    """Of these waits, which listen again, those for whose topics an event came since they did not."""
    rows = [(wait_id, instant_text(at)) for wait_id, at in since]
    return sorted(set(connection.execute(kept("find_missed"), {"since": rows}).scalars())) if rows else []


def dead_of(connection: Connection, wait_ids: Iterable[str]) -> list[str]:
    """The dead deliveries of these waits."""
    return list(connection.execute(kept("dead_of"), {"ids": sorted(wait_ids)}).scalars())


def note_skipped(connection: Connection, batch: PlanBatch, ids: Sequence[str], fate: Fate, *, undone: bool) -> None:
    """Note why these waits of a batch were left as they are."""
    given = batch.bounds | {"ids": ids, "to_fate": fate.value}
    connection.execute(kept("note_skipped", undone), given)


def look_at_rest(connection: Connection, batch: PlanBatch, *, undone: bool) -> list[Look]:
    """How the waits of a batch are that nothing was done to."""
    return [Look(*row) for row in connection.execute(kept("look_at_entries", undone), batch.bounds)]


class Entry(NamedTuple):
    """A wait in a plan, as a sample shows it."""

    wait_id: str
    workflow_execution_id: str | None
    step_id: str | None
    from_status: WaitExecutionStatus
    due_before: datetime | None
    due_after: datetime | None
    fate: str | None
    undone_fate: str | None
    note: str | None


def list_entries(connection: Connection, plan_id: str, *, limit: int, beyond: str = FIRST) -> list[Entry]:
    """Waits of a plan by id, beyond one."""
    given = {"plan": plan_id, "beyond": beyond, "limit": limit}
    return [Entry(*row) for row in connection.execute(kept("list_entries"), given)]
