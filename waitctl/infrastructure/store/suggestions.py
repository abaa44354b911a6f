"""What a shell offers on Tab: the newest of what there is, since nobody waits there for a scan of everything."""

from __future__ import annotations

from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import kept


def newest_waits(connection: Connection, *, only_open: bool = False) -> list[tuple[str, ...]]:
    """The newest waits, or open waits: id, execution, step, type, status."""
    return [tuple(map(str, row)) for row in connection.execute(kept("newest_waits", only_open))]


def newest_deliveries(connection: Connection, *, only_undone: bool = False) -> list[tuple[str, ...]]:
    """The newest deliveries, or those that are pending, dead or dropped: id, handler, outcome, status."""
    return [tuple(map(str, row)) for row in connection.execute(kept("newest_deliveries", only_undone))]


def newest_events(connection: Connection) -> list[tuple[str, ...]]:
    """The newest events: id, type, contact."""
    return [tuple(map(str, row)) for row in connection.execute(kept("newest_events"))]


def newest_quarantined(connection: Connection) -> list[tuple[str, ...]]:
    """The newest payloads in quarantine: id, source, why."""
    return [tuple(map(str, row)) for row in connection.execute(kept("newest_quarantined"))]


def newest_recurrences(connection: Connection) -> list[tuple[str, ...]]:
    """The newest recurrences: id, execution, step, status."""
    return [tuple(map(str, row)) for row in connection.execute(kept("newest_recurrences"))]


def newest_plans(connection: Connection) -> list[tuple[str, ...]]:
    """The newest plans of bulk changes: id, kind, status."""
    return [tuple(map(str, row)) for row in connection.execute(kept("newest_plans"))]


def registered_contacts(connection: Connection, typed: str) -> list[str]:
    """Contacts of the register that begin as typed."""
    found = [row[0] for row in connection.execute(kept("registered_contacts"), {"typed": typed})]
    return [contact for contact in found if contact.startswith(typed)]


def type_names(connection: Connection) -> list[str]:
    """The registered event types, by name."""
    return [row[0] for row in connection.execute(kept("type_names"))]


def template_names(connection: Connection) -> list[tuple[str, int]]:
    """The templates by name, with their newest versions."""
    return [(row[0], row[1]) for row in connection.execute(kept("template_names"))]
