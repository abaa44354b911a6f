"""Statements on what could not be taken in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from waitctl.domain.quarantine import Quarantined
from waitctl.infrastructure.schema import quarantine
from waitctl.infrastructure.store.waits import find_ids


def insert_quarantined(connection: Connection, rows: Sequence[Quarantined]) -> None:
    """Keep these payloads."""
    names = quarantine.c.keys()
    if rows:
        connection.execute(sa.insert(quarantine), [{name: getattr(row, name) for name in names} for row in rows])


def get_quarantined(connection: Connection, quarantine_id: str, *, lock: bool = False) -> Quarantined | None:
    """The payload with this id; ``lock`` keeps others from replaying it at the same time."""
    found = sa.select(quarantine).where(quarantine.c.id == quarantine_id)
    return next(iter(_load(connection, found.with_for_update() if lock else found)), None)


def find_quarantined_ids(connection: Connection, fragment: str, limit: int) -> list[str]:
    """See `find_ids`."""
    return find_ids(connection, quarantine.c.id, fragment, limit)


def list_quarantined(connection: Connection, *, source: str | None, limit: int) -> list[Quarantined]:
    """Payloads without their bodies, newest first."""
    columns = [sa.literal(b"").label("body") if column.name == "body" else column for column in quarantine.c]
    found = sa.select(*columns).order_by(quarantine.c.received_at.desc(), quarantine.c.id.desc()).limit(limit)
    return _load(connection, found if source is None else found.where(quarantine.c.source == source))


def quarantined_ids(connection: Connection, *, source: str | None) -> list[str]:
    """Every payload's id, oldest first: the order in which they came."""
    found = sa.select(quarantine.c.id).order_by(quarantine.c.received_at, quarantine.c.id)
    return list(connection.execute(found if source is None else found.where(quarantine.c.source == source)).scalars())


def refuse_again(connection: Connection, quarantine_id: str, *, code: str, message: str, now: datetime) -> None:
    """Say that a payload was replayed at ``now``, and why it was refused this time."""
    values = {"code": code, "message": message, "replayed_at": now}
    connection.execute(sa.update(quarantine).where(quarantine.c.id == quarantine_id).values(values))


def delete_quarantined(connection: Connection, quarantine_id: str) -> bool:
    """Forget a payload. Returns whether it was there."""
    return bool(connection.execute(sa.delete(quarantine).where(quarantine.c.id == quarantine_id)).rowcount == 1)


def _load(connection: Connection, found: sa.Select[Any]) -> list[Quarantined]:
    return [Quarantined(**row) for row in connection.execute(found).mappings()]
