"""What follows the end of waits that come again: asked in every transaction that ends waits, and seldom anything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from waitctl.application.recurrences import Recurrences
    from waitctl.infrastructure.config import Settings
    from waitctl.infrastructure.database import Connection, Database


class ComingAgain:
    """Looks for recurrences that go on or are stopped. What looks and what does that is loaded when it is asked for."""

    def __init__(self, database: Database, settings: Settings | None, *, actor: str) -> None:
        self._database = database
        self._settings = settings
        self._actor = actor

    @cached_property
    def _recurrences(self) -> Recurrences:
        from waitctl.application.recurrences import Recurrences

        return Recurrences(self._database, self._settings, actor=self._actor)

    def go_on_due(self, connection: Connection, *, since: datetime, up_to: datetime, now: datetime) -> None:
        """Go on with every recurrence that was due within a span and whose open wait has ended."""
        from waitctl.infrastructure.store import recurrences as store

        if ended := store.take_ended(connection, since=since, up_to=up_to):
            self._recurrences.go_on(connection, ended, now)

    def go_on_among(self, connection: Connection, wait_ids: Sequence[str], *, now: datetime) -> None:
        """Go on with those whose open wait is one of these, which have ended."""
        from waitctl.infrastructure.store import recurrences as store

        if ended := store.take_ended_among(connection, wait_ids):
            self._recurrences.go_on(connection, ended, now)

    def stop_by(self, connection: Connection, wait_ids: Sequence[str], *, now: datetime) -> None:
        """Stop those that one of these waits, which an event has ended, is there to stop."""
        from waitctl.infrastructure.store import recurrences as store

        if stopped := store.stopped_by(connection, wait_ids):
            self._recurrences.stop(connection, stopped, reason="stopped by an event", now=now)
