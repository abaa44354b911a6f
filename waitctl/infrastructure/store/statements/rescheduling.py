"""Statements that give open waits another instant or another deadline.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.statuses import WaitExecutionStatus
from waitctl.infrastructure.dialects import JsonRows
from waitctl.infrastructure.schema import listeners, recurrences, waits
from waitctl.infrastructure.sql_batch import Claimed, statement
from waitctl.infrastructure.store.statements.completion import ID, NOW, SCHEDULED, WAITING, audit, claimed_ids
from waitctl.infrastructure.store.statements.waits import literal

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

    return Claimed(claim, moving_steps, claimed_ids)


def moving_steps(claimed: FromClause) -> dict[str, UpdateBase]:
    """Give the claimed waits, which are scheduled, their new instant, and write the audit."""
    changed = {"scheduled_at": claimed.c.scheduled_at, **_configured(claimed)}
    move = sa.update(waits).values(changed).where(waits.c.id == claimed.c.id, SCHEDULED)
    # A tick looks for recurrences by when their open wait is due.
    due = sa.update(recurrences).values(next_at=claimed.c.scheduled_at).where(recurrences.c.wait_id == claimed.c.id)
    status = literal(WaitExecutionStatus.SCHEDULED, waits.c.status)
    return {"moved": move, "audited": audit(claimed, status), "recurring": due}


def _configured(claimed: FromClause) -> dict[str, Any]:
    return {
        "wait_config": claimed.c.config,
        "late_policy": claimed.c.late_policy,
        "timezone": claimed.c.timezone,
        "updated_at": NOW,
    }


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

    return Claimed(claim, redirecting_steps, claimed_ids)


def redirecting_steps(claimed: FromClause) -> dict[str, UpdateBase]:
    """Give the claimed waits, which listen, and their listeners another deadline or window, and write the audit."""
    wait = sa.update(waits).values({"timeout_at": claimed.c.timeout_at, **_configured(claimed)})
    deadline = {name: claimed.c[name] for name in ("timeout_at", "expires_at", "gated")}
    # All of them, those too that have matched for a group: they are of a wait that still waits.
    listener = sa.update(listeners).values(deadline).where(listeners.c.wait_id == claimed.c.id)
    status = literal(WaitExecutionStatus.WAITING, waits.c.status)
    moved = wait.where(waits.c.id == claimed.c.id, WAITING)
    return {"moved": moved, "audited": audit(claimed, status), "listening": listener}


@statement
def _change_context() -> Any:
    """Give an open wait another context."""
    changed = {"context": sa.bindparam("given_context", type_=waits.c.context.type), "updated_at": NOW}
    wanted = waits.c.id == sa.bindparam("wait_id", type_=ID)
    return sa.update(waits).values(changed).where(wanted, sa.or_(WAITING, SCHEDULED)).returning(waits.c.id)
