"""What a shell offers on Tab in the place of an id or a name, each with what it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import TypeVar

from waitctl.domain.events import EventType
from waitctl.domain.plans import PlanKind, PlanStatus
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.store import suggestions as store

T = TypeVar("T")

Suggestions = list[tuple[str, str]]
"""Texts, and what each is the name of."""

_PATIENCE = 1.0
"""Seconds after which somebody who has pressed Tab takes it that there is nothing."""

_TAIL = 12
"""Characters of an id that tables show."""


def suggest_waits(database: Database, typed: str, *, only_open: bool = False) -> Suggestions:
    """The waits, or open waits, whose ids begin or end as typed."""
    rows = _read(database, partial(store.newest_waits, only_open=only_open))
    return _ids(typed, [(row[0], f"{row[1]} {row[2]}: {row[3].replace('_', '-')}, {row[4]}") for row in rows])


def suggest_executions(database: Database, typed: str, *, only_open: bool = False) -> Suggestions:
    """The executions, or those with an open wait, that begin as typed; each with its latest such wait."""
    found: dict[str, str] = {}
    for _, execution, step, kind, status in _read(database, partial(store.newest_waits, only_open=only_open)):
        if execution.startswith(typed):
            found.setdefault(execution, f"{step}: {kind.replace('_', '-')}, {status}")
    return list(found.items())


def suggest_deliveries(database: Database, typed: str, *, statuses: Collection[str] = ()) -> Suggestions:
    """The deliveries whose ids begin or end as typed; of these statuses (pending, dead, dropped), if any."""
    rows = _read(database, partial(store.newest_deliveries, only_undone=bool(statuses)))
    meant = [row for row in rows if not statuses or row[3] in statuses]
    return _ids(typed, [(row[0], f"{row[2]} to {row[1]}: {row[3]}") for row in meant])


def suggest_recurrences(database: Database, typed: str, *, statuses: Collection[str] = ()) -> Suggestions:
    """The recurrences whose ids begin or end as typed; of these statuses, if any are named."""
    rows = _read(database, store.newest_recurrences)
    meant = [row for row in rows if not statuses or row[3] in statuses]
    return _ids(typed, [(row[0], f"{row[1]} {row[2]}: {row[3]}") for row in meant])


def suggest_plans(database: Database, typed: str, *, statuses: Collection[str] = ()) -> Suggestions:
    """The plans of bulk changes whose ids begin or end as typed; of these statuses, if any are named."""
    rows = _read(database, store.newest_plans)
    meant = [row for row in rows if not statuses or row[2] in statuses]
    return _ids(typed, [(row[0], f"{row[1]}: {row[2]}") for row in meant])


def suggest_plans_to_undo(database: Database, typed: str) -> Suggestions:
    """The plans that have been applied and can be undone, whose ids begin or end as typed."""
    began = (PlanStatus.APPLIED, PlanStatus.APPLYING, PlanStatus.UNDOING)
    rows = [row for row in _read(database, store.newest_plans) if row[2] in began and PlanKind(row[1]).can_be_undone]
    return _ids(typed, [(row[0], f"{row[1]}: {row[2]}") for row in rows])


def suggest_contacts(database: Database, typed: str) -> Suggestions:
    """The contacts of the register that begin as typed."""
    return [(name, "a contact") for name in _read(database, lambda each: store.registered_contacts(each, typed))]


def suggest_events(database: Database, typed: str) -> Suggestions:
    """The events whose ids begin or end as typed."""
    return _ids(typed, [(row[0], f"{row[1]} of {row[2]}") for row in _read(database, store.newest_events)])


def suggest_quarantined(database: Database, typed: str) -> Suggestions:
    """The payloads in quarantine whose ids begin or end as typed."""
    return _ids(typed, [(row[0], f"{row[1]}: {row[2]}") for row in _read(database, store.newest_quarantined)])


def suggest_templates(database: Database, typed: str) -> Suggestions:
    """The database's templates that begin as typed."""
    found = _read(database, store.template_names)
    return [(name, f"a template, version {version}") for name, version in found if name.startswith(typed)]


def suggest_types(database: Database | None, typed: str) -> Suggestions:
    """The event types that begin as typed; the built-in ones where there is no database."""
    names = [each.value for each in EventType] if database is None else _read(database, store.type_names)
    return [(name, "an event type") for name in names if name.startswith(typed)]


def _read(database: Database, look: Callable[[Connection], list[T]]) -> list[T]:
    with database.patience.until(time.monotonic() + _PATIENCE), database.read() as connection:
        return look(connection)


def _ids(typed: str, known: Suggestions) -> Suggestions:
    """By the tail, as tables show it, or by the whole id, whichever begins so."""
    tails = [(identifier[-_TAIL:], what) for identifier, what in known if identifier[-_TAIL:].startswith(typed)]
    return tails or [(identifier, what) for identifier, what in known if identifier.startswith(typed)]
