"""Statements that give open waits another instant or another deadline.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from waitctl.domain.filters import WaitFilter
from waitctl.domain.statuses import OPEN
from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass, replace
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.sql_values import json_rows
from waitctl.infrastructure.store.waits import load


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """A scheduled wait's new instant, expected at the old one; its configuration with it, and why."""

    wait_id: str
    expected_at: datetime
    scheduled_at: datetime
    wait_config: JsonObject
    late_policy: str | None
    timezone: str
    reason: str


def reschedule_waits(connection: Connection, changes: Sequence[Rescheduled], *, now: datetime, actor: str) -> set[str]:
    """Give scheduled waits another instant. Returns the ids of those that landed.

    The others are not scheduled any more, or for another instant than was expected.
    """
    rows = (
        {
            "id": change.wait_id,
            "expected_at": change.expected_at,
            "scheduled_at": change.scheduled_at,
            "config": change.wait_config,
            "late_policy": change.late_policy,
            "timezone": change.timezone,
            "reason": change.reason,
        }
        for change in changes
    )
    audit = {"now": now, "reason": "", "actor": actor, "data": None}
    return {row[0] for row in kept("reschedule").run(connection, wanted=json_rows(rows), **audit)}


@dataclass(frozen=True, slots=True)
class DeadlineChange:
    """A waiting wait's new deadline and window, with its configuration, and why."""

    wait_id: str
    timeout_at: datetime | None
    expires_at: datetime | None
    gated: bool
    wait_config: JsonObject
    late_policy: str | None
    timezone: str
    reason: str


def change_deadlines(
    connection: Connection, changes: Sequence[DeadlineChange], *, now: datetime, actor: str
) -> set[str]:
    """Give waits for events another deadline or window. Returns the ids of those that landed: the ones still waiting.

    The topics' locks must be held exclusively, so that no event is matched by the old deadline meanwhile.
    """
    rows = (
        {
            "id": change.wait_id,
            "timeout_at": change.timeout_at,
            "expires_at": change.expires_at,
            "gated": change.gated,
            "config": change.wait_config,
            "late_policy": change.late_policy,
            "timezone": change.timezone,
            "reason": change.reason,
        }
        for change in changes
    )
    audit = {"now": now, "reason": "", "actor": actor, "data": None}
    return {row[0] for row in kept("change_deadlines").run(connection, wanted=json_rows(rows), **audit)}


def change_context(connection: Connection, wait_id: str, context: JsonObject | None, *, now: datetime) -> bool:
    """Give an open wait another context. Returns whether it landed."""
    given = {"wait_id": wait_id, "given_context": context, "now": now}
    return connection.execute(kept("change_context"), given).first() is not None


def open_waits(
    connection: Connection, wanted: WaitFilter, *, now: datetime, limit: int, after: str | None
) -> list[WaitStepExecution]:
    """Open waits that are not overdue, by id, beyond ``after``."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import waits
    from waitctl.infrastructure.store.statements.completion import WAITING
    from waitctl.infrastructure.store.statements.filters import list_statement

    found = list_statement(replace(wanted, statuses=tuple(sorted(OPEN))), now=now)
    found = found.order_by(None).order_by(waits.c.id).limit(limit).where(sa.or_(WAITING, waits.c.scheduled_at > now))
    return load(connection, found if after is None else found.where(waits.c.id > after))
