"""Statements that create many waits at once. What many of them share travels once, as their plan.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from waitctl.domain.text import to_json
from waitctl.domain.values import dataclass
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.database_errors import is_integrity_error
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import by_dialect, kept
from waitctl.infrastructure.sql_values import instant_text, json_rows


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


class NewListener(NamedTuple):
    """A listener of a new wait; ``place``: which of those that its plan has."""

    id: str
    wait_id: str
    plan: str
    place: str
    contact_id: str


@dataclass(frozen=True, slots=True)
class NewBatch:
    """Waits to be created at one instant, `NewWait` and `NewListener` each as rows or encoded by `as_tuples`.

    ``plans`` and ``listened`` hold what waits and listeners of a plan share, under the names of their columns.
    """

    count: int
    waits: str | Sequence[NewWait]
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


def each_its_own(waits: Sequence[WaitStepExecution]) -> NewBatch:
    """Waits for instants that share nothing, each with a plan of its own."""
    rows = [
        NewWait(
            wait.id,
            str(number),
            wait.workflow_id,
            wait.workflow_execution_id,
            wait.step_id,
            wait.contact_id,
            None if wait.context is None else to_json(wait.context),
            wait.idempotency_key,
        )
        for number, wait in enumerate(waits)
    ]
    plans = [
        {name: getattr(wait, name) for name in PLAN_COLUMNS} | {"plan": str(number)}
        for number, wait in enumerate(waits)
    ]
    return NewBatch(len(waits), rows, [], plans, [])


class NotAllNewError(Exception):
    """Among waits that were inserted as new ones is one whose step or key is taken. The transaction is lost."""


def insert_waits(
    connection: Connection, batch: NewBatch, *, now: datetime, reason: str, actor: str, presumed_new: bool = False
) -> set[str] | None:
    """Insert waits, their listeners and the first lines of their audit trails, but those whose step or key is taken.

    Returns the ids of those that landed; ``None`` when all have. With ``presumed_new`` nothing is asked about keys,
    which takes PostgreSQL a third of the time. Raises `NotAllNewError` when it turns out that one is taken.
    """
    insert = by_dialect(connection, sqlite=_insert_one_by_one, postgresql=_insert_at_once)
    given = {"plans": json_rows(batch.plans), "listened": json_rows(batch.listened)}
    return insert(connection, batch, given | {"now": now, "reason": reason, "actor": actor}, presumed_new)


def _insert_at_once(
    connection: Connection, batch: NewBatch, given: Mapping[str, Any], presumed_new: bool
) -> set[str] | None:
    listening = {"listening": batch.listeners} if batch.listeners else {}
    every = {"given": batch.waits, **listening, **given}
    if presumed_new:
        try:
            connection.execute(kept("create_presumed_new", bool(batch.listeners)), every)
        except Exception as error:
            if is_integrity_error(error):
                raise NotAllNewError from error
            raise
        return None
    landed = connection.execute(
        kept("create_waits", bool(batch.listeners)), every | {"count": batch.count}
    ).scalar_one()
    return None if landed is None else set(landed)


def _insert_one_by_one(connection: Connection, batch: NewBatch, given: Mapping[str, Any], _: bool) -> set[str] | None:
    landed = set(connection.execute(kept("store_waits"), {"given": batch.waits, **given}).scalars())
    connection.execute(kept("note_stored"), {"given": batch.waits, **given})
    if batch.listeners:
        connection.execute(kept("store_listeners"), {"listening": batch.listeners, **given})
    return None if len(landed) == batch.count else landed


# -- what stands in the way of creating them together ------------------------------------------------------------------


class Claims(NamedTuple):
    """The step, and the key if it has one, that a new wait lays claim to."""

    id: str
    workflow_execution_id: str
    step_id: str
    workflow_id: str
    key: str | None


def find_taken(connection: Connection, claims: Sequence[Claims]) -> dict[str, str]:
    """By the new wait's id the wait that stands in its way: the one with its key, else the open one of its step."""
    rows = connection.execute(kept("find_taken"), {"claims": claims}).all()
    return {row.id: row.by_key or row.by_step for row in rows if row.by_key or row.by_step}


def find_pruned_keys(connection: Connection, claims: Sequence[Claims]) -> set[str]:
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
