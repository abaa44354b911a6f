"""Statements that give open waits another instant or another deadline.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, FromClause
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.filters import WaitFilter
from waitctl.domain.text import JsonObject
from waitctl.domain.waits import OPEN, WaitExecutionStatus, WaitStepExecution
from waitctl.infrastructure.dialects import JsonRows, json_rows
from waitctl.infrastructure.schema import listeners, waits
from waitctl.infrastructure.sql_batch import Claimed, statement
from waitctl.infrastructure.store.completion import ID, NOW, SCHEDULED, WAITING, audit, claimed_ids
from waitctl.infrastructure.store.filters import list_statement
from waitctl.infrastructure.store.waits import literal, load


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
    return {row[0] for row in _reschedule().run(connection, wanted=json_rows(rows), **audit)}


_CONFIGURATION = {
    "config": waits.c.wait_config.type,
    "late_policy": sa.Text(),
    "timezone": sa.Text(),
    "reason": sa.Text(),
}


@statement
def _reschedule() -> Claimed:
    """Give the wanted waits another instant, if they are scheduled for the one expected. Locks the waits by id."""
    instants = {"expected_at": waits.c.scheduled_at.type, "scheduled_at": waits.c.scheduled_at.type}
    wanted = JsonRows("wanted", {"id": ID} | instants | _CONFIGURATION)
    given = [column for column in wanted.c if column.name not in {"id", "expected_at"}]
    claim = (
        sa.select(waits.c.id, waits.c.status.label("from_status"), *given)
        .join(wanted, wanted.c.id == waits.c.id)
        .where(SCHEDULED, waits.c.scheduled_at == wanted.c.expected_at)
        .order_by(waits.c.id)
        .with_for_update(of=waits)
    )

    def steps(claimed: FromClause) -> dict[str, UpdateBase]:
        changed = {"scheduled_at": claimed.c.scheduled_at, **_configured(claimed)}
        move = sa.update(waits).values(changed).where(waits.c.id == claimed.c.id, SCHEDULED)
        return {"moved": move, "audited": audit(claimed, literal(WaitExecutionStatus.SCHEDULED, waits.c.status))}

    return Claimed(claim, steps, claimed_ids)


def _configured(claimed: FromClause) -> dict[str, Any]:
    return {
        "wait_config": claimed.c.config,
        "late_policy": claimed.c.late_policy,
        "timezone": claimed.c.timezone,
        "updated_at": NOW,
    }


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
    return {row[0] for row in _change_deadlines().run(connection, wanted=json_rows(rows), **audit)}


@statement
def _change_deadlines() -> Claimed:
    """Give the wanted waits another deadline or window. Locks the waits by id, then their listeners."""
    instants = {"timeout_at": waits.c.timeout_at.type, "expires_at": waits.c.timeout_at.type, "gated": sa.Boolean()}
    wanted = JsonRows("wanted", {"id": ID} | instants | _CONFIGURATION)
    claim = (
        sa.select(
            waits.c.id, waits.c.status.label("from_status"), *(column for column in wanted.c if column.name != "id")
        )
        .join(wanted, wanted.c.id == waits.c.id)
        .where(WAITING)
        .order_by(waits.c.id)
        .with_for_update(of=waits)
    )

    def steps(claimed: FromClause) -> dict[str, UpdateBase]:
        wait = sa.update(waits).values({"timeout_at": claimed.c.timeout_at, **_configured(claimed)})
        deadline = {name: claimed.c[name] for name in ("timeout_at", "expires_at", "gated")}
        # All of them, those too that have matched for a group: they are of a wait that still waits.
        listener = sa.update(listeners).values(deadline).where(listeners.c.wait_id == claimed.c.id)
        status = literal(WaitExecutionStatus.WAITING, waits.c.status)
        moved = wait.where(waits.c.id == claimed.c.id, WAITING)
        return {"moved": moved, "audited": audit(claimed, status), "listening": listener}

    return Claimed(claim, steps, claimed_ids)


def open_waits(
    connection: Connection, wanted: WaitFilter, *, now: datetime, limit: int, after: str | None
) -> list[WaitStepExecution]:
    """Open waits that are not overdue, by id, beyond ``after``."""
    found = list_statement(replace(wanted, statuses=tuple(sorted(OPEN))), now=now)
    found = found.order_by(None).order_by(waits.c.id).limit(limit).where(sa.or_(WAITING, waits.c.scheduled_at > now))
    return load(connection, found if after is None else found.where(waits.c.id > after))
