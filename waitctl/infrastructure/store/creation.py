"""Statements that create many waits at once. What many of them share travels once, as their plan.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from waitctl.domain.values import dataclass
from waitctl.infrastructure.database_errors import is_integrity_error
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import by_dialect, kept
from waitctl.infrastructure.sql_values import as_copied, as_copied_values, as_tuples, instant_text, json_rows


class NewWait(NamedTuple):
    """What a wait has of its own, as text; ``context`` is JSON. The rest is its plan's, by number."""

    id: str
    plan: str
    workflow_id: str | None
    workflow_execution_id: str
    step_id: str
    contact_id: str | None
    context: str | None
    idempotency_key: str | None

    @property
    def claims(self) -> ClaimedStep:
        """What it lays claim to."""
        return ClaimedStep(
            self.id, self.workflow_execution_id, self.step_id, self.workflow_id or "", self.idempotency_key
        )


class NewListener(NamedTuple):
    """A listener of a new wait; ``place``: which of those that its plan has."""

    id: str
    wait_id: str
    plan: str
    place: str
    contact_id: str


class Lines(NamedTuple):
    """What waits and the first lines of their audit trails have of their own, for COPY."""

    waits: str
    audit: str


EncodedWaits = str | Lines


@dataclass(frozen=True, slots=True)
class NewBatch:
    """Waits to be created at one instant. ``encoded``: what `encode_waits` has made of them ahead.

    ``plans`` and ``listened`` hold what waits and listeners of a plan share, under the names of their columns.
    """

    waits: Sequence[NewWait]
    encoded: EncodedWaits | None
    listeners: Sequence[NewListener]
    plans: Sequence[Mapping[str, Any]]
    listened: Sequence[Mapping[str, Any]]


PLAN_COLUMNS = (
    *("wait_type", "status", "scheduled_at", "timeout_at", "timezone", "wait_config", "handler", "handlers"),
    *("late_seconds", "late_policy"),
)
LISTENED_COLUMNS = (
    *("event_type", "match", "match_json", "where", "exclusive", "gated", "human", "group_no", "needed", "distinct"),
    *("status", "since_at", "timeout_at", "expires_at"),
)


class WaitsNotAllNewError(Exception):
    """Among waits that were inserted as new is one whose step or key is taken, or was. The transaction is lost."""


def encode_waits(waits: Sequence[NewWait], dialect: str) -> EncodedWaits:
    """The waits as `insert_waits` sends them: on PostgreSQL those that are presumed new."""
    if dialect == "sqlite":
        return as_tuples(waits, dialect)
    return Lines(as_copied(list(map(_own, waits))), as_copied(list(map(_of_audit, waits))))


def insert_waits(
    connection: Connection, batch: NewBatch, *, now: datetime, reason: str, actor: str, presumed_new: bool = False
) -> set[str] | None:
    """Insert waits, their listeners and the first lines of their audit trails, but those whose step or key is taken.

    Returns the ids of those that landed; ``None`` when all have. With ``presumed_new`` PostgreSQL copies them, which
    takes it half of the time. Raises `WaitsNotAllNewError` when it turns out that one's step or key is taken.
    """
    if presumed_new:
        _copy_waits(connection, batch, now=now, reason=reason, actor=actor)
        return None
    insert = by_dialect(connection, sqlite=_insert_one_by_one, postgresql=_insert_at_once)
    given = {"plans": json_rows(batch.plans), "listened": json_rows(batch.listened)}
    return insert(connection, batch, given | {"now": now, "reason": reason, "actor": actor})


def _insert_at_once(connection: Connection, batch: NewBatch, given: Mapping[str, Any]) -> set[str] | None:
    listening = {"listening": batch.listeners} if batch.listeners else {}
    every = {"given": batch.waits, "count": len(batch.waits), **listening, **given}
    landed = connection.execute(kept("create_waits", bool(batch.listeners)), every).scalar_one()
    return None if landed is None else set(landed)


def _insert_one_by_one(connection: Connection, batch: NewBatch, given: Mapping[str, Any]) -> set[str] | None:
    waits = batch.encoded or batch.waits
    landed = set(connection.execute(kept("store_waits"), {"given": waits, **given}).scalars())
    connection.execute(kept("note_stored"), {"given": waits, **given})
    if batch.listeners:
        connection.execute(kept("store_listeners"), {"listening": batch.listeners, **given})
    return None if len(landed) == len(batch.waits) else landed


# -- by COPY -----------------------------------------------------------------------------------------------------------

_PLAN = NewWait._fields.index("plan")
_own = itemgetter(0, *range(_PLAN + 1, len(NewWait._fields)))
_of_audit = attrgetter("id", "workflow_execution_id")
_WAIT_COLUMNS = ("id", *NewWait._fields[_PLAN + 1 :], *PLAN_COLUMNS, "created_at", "updated_at")
_AUDIT_COLUMNS = ("wait_id", "workflow_execution_id", "at", "to_status", "reason", "actor")
_LISTENER_COLUMNS = ("id", "wait_id", "contact_id", *LISTENED_COLUMNS)


def _copy_waits(connection: Connection, batch: NewBatch, *, now: datetime, reason: str, actor: str) -> None:
    """Each row is what it has of its own and, behind that, what its plan has for all."""
    lines = batch.encoded or encode_waits(batch.waits, connection.dialect)
    assert isinstance(lines, Lines)
    of = [wait.plan for wait in batch.waits]
    waits, audit = dict[str, str](), dict[str, str]()
    for plan in batch.plans:
        waits[plan["plan"]] = as_copied_values([*(plan[name] for name in PLAN_COLUMNS), now, now])
        audit[plan["plan"]] = as_copied_values([now, plan["status"], reason, actor])
    try:
        connection.copy("workflow_wait_executions", _WAIT_COLUMNS, _joined(lines.waits, of, waits))
        if batch.listeners:
            _copy_listeners(connection, batch)
        connection.copy("workflow_wait_transitions", _AUDIT_COLUMNS, _joined(lines.audit, of, audit))
    except Exception as error:
        if is_integrity_error(error):
            raise WaitsNotAllNewError from error
        raise


def _copy_listeners(connection: Connection, batch: NewBatch) -> None:
    own = as_copied([(listener.id, listener.wait_id, listener.contact_id) for listener in batch.listeners])
    shared = {
        f"{each['plan']} {each['place']}": as_copied_values([each[name] for name in LISTENED_COLUMNS])
        for each in batch.listened
    }
    of = [f"{listener.plan} {listener.place}" for listener in batch.listeners]
    connection.copy("workflow_event_listeners", _LISTENER_COLUMNS, _joined(own, of, shared))


def _joined(own: str, of: Sequence[str], shared: Mapping[str, str]) -> str:
    """Rows of their own parts, a line each, and of what those of a plan share."""
    if len(shared) == 1:
        (behind,) = shared.values()
        return own.replace("\n", f"\t{behind}\n") + f"\t{behind}\n"
    return "".join([f"{line}\t{shared[plan]}\n" for line, plan in zip(own.split("\n"), of, strict=True)])


# -- what stands in the way of creating them together ------------------------------------------------------------------


class ClaimedStep(NamedTuple):
    """The step, and the key if it has one, that a new wait lays claim to."""

    id: str
    workflow_execution_id: str
    step_id: str
    workflow_id: str
    key: str | None


def find_taken(connection: Connection, claims: Sequence[ClaimedStep]) -> dict[str, str]:
    """By the new wait's id the wait that stands in its way: the one with its key, else the open one of its step."""
    rows = connection.execute(kept("find_taken"), {"claims": claims}).all()
    return {row.id: row.by_key or row.by_step for row in rows if row.by_key or row.by_step}


def find_pruned_keys(connection: Connection, claims: Sequence[ClaimedStep]) -> set[str]:
    """The new waits whose key was that of a wait which is pruned."""
    return set(connection.execute(kept("find_pruned_keys"), {"claims": claims}).scalars())


class Topic(NamedTuple):
    """A topic that a new wait listens to, and since when."""

    id: str
    event_type: str
    contact_id: str
    since_at: str


def topic_of(wait_id: str, event_type: str, contact_id: str, since_at: datetime) -> Topic:
    """The topic of a listener."""
    return Topic(wait_id, event_type, contact_id, instant_text(since_at) or "")


def find_early(connection: Connection, topics: Sequence[Topic]) -> set[str]:
    """The new waits that an event which is there may belong to: of their topics, and received since then."""
    return set(connection.execute(kept("find_early"), {"topics": topics}).scalars())


def types_at_inbox(connection: Connection, event_types: Iterable[str]) -> bool:
    """Whether the inbox table holds events that nobody has correlated, of any of these types."""
    return connection.execute(kept("types_at_inbox"), {"types": sorted(event_types)}).first() is not None


def count_looked_at(connection: Connection, wait_id: str, most: int) -> int:
    """How many events a new wait has looked back over, ``most`` at most."""
    return int(connection.execute(kept("count_looked_at"), {"wait_id": wait_id, "most": most}).scalar_one())
