"""Statements on pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waitctl.domain.pauses import Pause, Paused, PauseKind
from waitctl.infrastructure.kept import kept

if TYPE_CHECKING:
    from waitctl.infrastructure.executor import Connection


def list_pauses(connection: Connection) -> list[Pause]:
    """Every pause, oldest first."""
    return [Pause(PauseKind(row[0]), *row[1:]) for row in connection.execute(kept("list_pauses")).all()]


def paused(connection: Connection) -> Paused:
    """What is paused now."""
    return Paused.of(list_pauses(connection))


def insert_pause(connection: Connection, pause: Pause) -> bool:
    """Pause, unless it is paused already. Returns whether it landed."""
    from waitctl.infrastructure.dialects import insert_new
    from waitctl.infrastructure.schema import pauses

    row = {column.name: getattr(pause, column.name) for column in pauses.c}
    return connection.execute(insert_new(pauses).returning(pauses.c.name), row).first() is not None


def delete_pause(connection: Connection, kind: PauseKind, name: str) -> bool:
    """Unpause. Returns whether it was paused."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import pauses

    gone = sa.delete(pauses).where(pauses.c.kind == kind.value, pauses.c.name == name).returning(pauses.c.name)
    return connection.execute(gone).first() is not None
