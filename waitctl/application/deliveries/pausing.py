"""Hold deliveries back, and let them go again. Events and deadlines go on meanwhile, and outcomes are decided."""

from __future__ import annotations

from waitctl.domain.pauses import Pause, PauseKind
from waitctl.domain.text import check_text
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.store import pauses as store


class PauseService:
    """Pauses everything, a handler or a workflow, on every host: what was claimed before it still goes out."""

    def __init__(self, database: Database | str, *, actor: str = "api") -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._actor = actor

    def list_pauses(self) -> list[Pause]:
        """Every pause, oldest first."""
        with self._database.read() as connection:
            return store.list_pauses(connection)

    def pause(self, kind: PauseKind, name: str = "", *, reason: str | None = None) -> Pause:
        """Hold the deliveries back; what is paused already stays so, as it was. Returns the pause that holds them."""
        _check(kind, name)
        if reason is not None:
            check_text(reason, "the reason")

        def work(connection: Connection) -> Pause:
            pause = Pause(kind, name, reason, self._actor, self._database.clock(connection))
            if store.insert_pause(connection, pause):
                return pause
            return next(each for each in store.list_pauses(connection) if (each.kind, each.name) == (kind, name))

        return self._database.write(work)

    def unpause(self, kind: PauseKind, name: str = "") -> bool:
        """Let them go. Returns whether they were held; what other pauses hold stays held."""
        _check(kind, name)
        return self._database.write(lambda connection: store.delete_pause(connection, kind, name))


def _check(kind: PauseKind, name: str) -> None:
    if kind is not PauseKind.ALL:
        check_text(name, f"the {kind}")
