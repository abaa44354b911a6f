"""Statements on what could not be taken in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from waitctl.domain.quarantine import MAX_KEPT, Quarantined
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import Statement, kept
from waitctl.infrastructure.sql_values import json_rows

_MOST_COUNTED = 10_000


def insert_quarantined(connection: Connection, rows: Sequence[Quarantined]) -> None:
    """Keep these payloads."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import quarantine

    names = quarantine.c.keys()
    if rows:
        connection.execute(sa.insert(quarantine), [{name: getattr(row, name) for name in names} for row in rows])


def list_sizes(connection: Connection, source: str) -> list[tuple[str, int]]:
    """What is kept of a source: id and bytes, first what was verified, then the newest."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import quarantine

    table = quarantine.c
    order = (table.verified.desc(), table.received_at.desc(), table.id.desc())
    found = sa.select(table.id, table.size).where(table.source == source).order_by(*order)
    return [(row[0], min(row[1], MAX_KEPT)) for row in connection.execute(found)]


def count_quarantined(connection: Connection) -> int:
    """How many payloads are kept, 10,000 at most."""
    return int(connection.execute(kept("count_quarantined")).scalar_one())


def get_quarantined(connection: Connection, quarantine_id: str, *, lock: bool = False) -> Quarantined | None:
    """The payload with this id; ``lock`` keeps others from replaying it at the same time."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import quarantine

    found = sa.select(quarantine).where(quarantine.c.id == quarantine_id)
    return next(iter(_load(connection, found.with_for_update() if lock else found)), None)


def list_quarantined(
    connection: Connection, *, source: str | None, limit: int, after: str | None = None
) -> list[Quarantined]:
    """Payloads without their bodies, newest first, older than the payload ``after``."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import quarantine

    columns = [sa.literal(b"").label("body") if column.name == "body" else column for column in quarantine.c]
    found = sa.select(*columns).order_by(quarantine.c.id.desc()).limit(limit)
    if after is not None:
        found = found.where(quarantine.c.id < after)
    return _load(connection, found if source is None else found.where(quarantine.c.source == source))


def quarantined_ids(connection: Connection, *, source: str | None) -> list[str]:
    """Every payload's id, oldest first: the order in which they came."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import quarantine

    found = sa.select(quarantine.c.id).order_by(quarantine.c.received_at, quarantine.c.id)
    return list(connection.execute(found if source is None else found.where(quarantine.c.source == source)).scalars())


def refuse_again(connection: Connection, quarantine_id: str, *, code: str, message: str, now: datetime) -> None:
    """Say that a payload was replayed at ``now``, and why it was refused this time."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import quarantine

    values = {"code": code, "message": message, "replayed_at": now}
    connection.execute(sa.update(quarantine).where(quarantine.c.id == quarantine_id).values(values))


def delete_quarantined(connection: Connection, *quarantine_ids: str) -> int:
    """Forget payloads. Returns how many of them were there."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import quarantine

    if not quarantine_ids:
        return 0
    return connection.execute(sa.delete(quarantine).where(quarantine.c.id.in_(quarantine_ids))).rowcount


def delete_older(
    connection: Connection, before: datetime, *, source: str | None = None, except_for: Sequence[str] = ()
) -> None:
    """Forget what came before an instant: of one source, or of all but some."""
    names = json_rows({"name": each} for each in except_for)
    connection.execute(kept("delete_older", source is not None), {"before": before, "of": source, "names": names})


def _load(connection: Connection, found: Statement) -> list[Quarantined]:
    return [Quarantined(**row) for row in connection.execute(found).mappings()]
