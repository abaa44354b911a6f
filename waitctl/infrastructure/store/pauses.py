"""Statements on pauses."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from waitctl.domain.pauses import Pause, Paused, PauseKind
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.schema import pauses


def list_pauses(connection: Connection) -> list[Pause]:
    """Every pause, oldest first."""
    found = sa.select(*pauses.c).order_by(pauses.c.paused_at, pauses.c.kind, pauses.c.name)
    return [Pause(PauseKind(row[0]), *row[1:]) for row in connection.execute(found).all()]


def paused(connection: Connection) -> Paused:
    """What is paused now."""
    return Paused.of(list_pauses(connection))


def insert_pause(connection: Connection, database: Database, pause: Pause) -> bool:
    """Pause, unless it is paused already. Returns whether it landed."""
    row = {column.name: getattr(pause, column.name) for column in pauses.c}
    inserted = database.insert_new(pauses).values(row).returning(pauses.c.name)
    return connection.execute(inserted).first() is not None


def delete_pause(connection: Connection, kind: PauseKind, name: str) -> bool:
    """Unpause. Returns whether it was paused."""
    gone = sa.delete(pauses).where(pauses.c.kind == kind.value, pauses.c.name == name).returning(pauses.c.name)
    return connection.execute(gone).first() is not None
