"""The quarantine's bounds: whoever knows a hook's address can send, but not fill the disk."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING

from waitctl.domain.quarantine import MAX_AGE, MAX_BYTES, Quarantined
from waitctl.infrastructure.store import quarantine as store

if TYPE_CHECKING:
    from waitctl.infrastructure.config import Settings, SourceConfig
    from waitctl.infrastructure.database import Connection


def keep(connection: Connection, rows: Sequence[Quarantined], config: SourceConfig) -> None:
    """Keep what was refused of one source; the oldest goes where there is more than its config allows.

    What was verified goes last: nobody pushes it out by sending what is not.
    """
    if not rows:
        return
    store.insert_quarantined(connection, rows)
    kept = store.list_sizes(connection, config.name)
    sums = accumulate(size for _, size in kept)
    over = [
        quarantine_id
        for number, ((quarantine_id, _), size) in enumerate(zip(kept, sums, strict=True), 1)
        if number > config.max_quarantined or size > MAX_BYTES
    ]
    store.delete_quarantined(connection, *over)


def expire(connection: Connection, settings: Settings, now: datetime) -> None:
    """Drop what has been in quarantine for longer than its source allows."""
    own = {name: config.max_quarantine_age for name, config in settings.sources.items()}
    for name, age in own.items():
        store.delete_older(connection, now - age, source=name)
    store.delete_older(connection, now - MAX_AGE, except_for=list(own))
