"""The kept statements by their names, as text: what `make sql` has rendered of them.

A statement that differs by its arguments is rendered for those that are usual; for others, and for statements that
nobody has rendered yet, SQLAlchemy is imported and renders it now.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from waitctl.infrastructure.executor import Connection, Row, Sent

if TYPE_CHECKING:
    import sqlalchemy as sa

T = TypeVar("T")

TEMPORARY = "waitctl_claimed"
COLUMNS = (
    *("id", "from_status", "handler", "due_at", "event_id", "listener_id"),
    *("scheduled_at", "timeout_at", "expires_at", "gated", "config", "late_policy", "timezone", "reason"),
    *("delivery_id", "of_handler", "attempt", "max_attempts", "lease_until"),
)
"""Where a batch keeps the rows that it has claimed, on SQLite: see `sql_batch.Claimed`."""

_VARIANTS = 64
"""Arguments of a statement that are remembered."""


class Kept:
    """A kept statement with its arguments."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments = name, arguments
        self._sent: dict[str, Sequence[Sent]] = {}

    @property
    def key(self) -> str:
        """What `rendered` knows it by."""
        return f"{self.name}{self.arguments!r}"

    def sent(self, dialect: str) -> Sequence[Sent]:
        """What is sent for it, in its order."""
        if (sent := self._sent.get(dialect)) is None:
            text = _rendered(dialect).get(self.key)  # as text, since a command needs a few of them
            sent = self._build(dialect) if text is None else [Sent(dialect, *part) for part in json.loads(text)]
            self._sent[dialect] = sent
        return sent

    def _build(self, dialect: str) -> Sequence[Sent]:
        from waitctl.infrastructure.rendering import render_kept

        return render_kept(self.name, self.arguments, dialect)

    def run(self, session: Connection, **parameters: Any) -> list[Row]:
        """Claim and do: a batch. Returns the rows of its result."""
        *steps, last = self.sent(session.dialect)
        if session.dialect == "sqlite":
            session.execute(f"CREATE TEMP TABLE IF NOT EXISTS {TEMPORARY} ({', '.join(COLUMNS)})")
        for step in steps:
            session.send(step, parameters)
        return session.send(last, parameters)


@lru_cache(16 * _VARIANTS)
def kept(name: str, *arguments: Any) -> Kept:
    """The statement of this name, for these arguments."""
    return Kept(name, arguments)


Statement: TypeAlias = "Kept | sa.Executable"
"""What a session runs."""


def by_dialect(session: Connection, *, sqlite: T, postgresql: T) -> T:
    """What is for the database at the other end.

    For the few statements whose shape differs, in what they return or in whether there is one: no construct of a
    compiler makes one statement of another.
    """
    return sqlite if session.dialect == "sqlite" else postgresql


def _rendered(dialect: str) -> dict[str, str]:
    if dialect == "sqlite":
        from waitctl.infrastructure.rendered.sqlite import STATEMENTS
    else:
        from waitctl.infrastructure.rendered.postgresql import STATEMENTS
    return STATEMENTS
