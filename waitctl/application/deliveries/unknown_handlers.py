"""Deliveries to handlers that no host knows: held, and given up when nobody has known them for long enough."""

from __future__ import annotations

from collections.abc import Collection

from waitctl.application.deliveries.results import record_deaths
from waitctl.domain.durations import format_timedelta
from waitctl.domain.handlers import INLINE
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.store import outcomes, ticks
from waitctl.infrastructure.store.deliveries import NamedDelivery, name_deliveries

_MOST = 1000
"""Deliveries that one tick gives up."""


def give_up_unknown_handlers(
    connection: Connection, database: Database, settings: Settings, known: Collection[str], *, actor: str
) -> list[NamedDelivery]:
    """Make dead what has waited `unknown_handler_after` for a handler that no host which ticked meanwhile knew.

    A host with a stale config so kills nobody's deliveries: the others' ticks vouch for their handlers. Inline commands
    are held for ever. Returns those that died.
    """
    now = database.clock(connection)
    after = settings.unknown_handler_after
    waiting = outcomes.unclaimed(connection, {*known, *settings.handlers, INLINE}, before=now - after, limit=_MOST)
    if not waiting:
        return []
    vouched = ticks.handlers_known_since(connection, database.real_clock(connection) - after)
    unknown = [delivery_id for delivery_id, handler in waiting if handler not in vouched]
    outcomes.lock_waits(connection, unknown)
    died = outcomes.mark_pending_dead(
        connection, unknown, error=f"no host has known its handler for {format_timedelta(after)}"
    )
    record_deaths(connection, database, dict.fromkeys(sorted(died), settings.on_dead), now=now, actor=actor)
    return name_deliveries(connection, died) if died else []
