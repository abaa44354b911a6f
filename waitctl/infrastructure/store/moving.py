"""Statements that read a database out, and one in: each table as a stream, in bounded memory.

Reading is one snapshot, whatever runs beside it; what is read in is one transaction that shuts everybody else out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from waitctl.domain.exports import ColumnKind, DueNext
from waitctl.domain.filters import WaitFilter
from waitctl.infrastructure.database_errors import of_driver
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import by_dialect
from waitctl.infrastructure.sql_values import as_copied_values, read_stored_instant
from waitctl.infrastructure.store.statements.moving import MOVED, Chosen, MovedTable, due_in_order, is_there, rows_of

AT_ONCE = 1000
"""Rows that are held."""


class RefusedRowError(Exception):
    """The database does not take a row: the one at ``place`` of those that were given, or any of them."""

    def __init__(self, place: int | None, message: str) -> None:
        self.place, self.message = place, message
        super().__init__(message)


# -- out ---------------------------------------------------------------------------------------------------------------


def hold_still(connection: Connection) -> None:
    """Let the transaction, whose first statement this is, see one moment to its end."""
    if still := by_dialect(
        connection, sqlite=None, postgresql="SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
    ):
        connection.execute(still)


def chosen(wanted: WaitFilter, now: datetime) -> Chosen | None:
    """What belongs to the waits that a filter means; ``None`` for a filter that means all there is."""
    return None if wanted.is_empty else Chosen(wanted, now)


def read_rows(connection: Connection, moved: MovedTable, of: Chosen | None) -> Iterator[tuple[Any, ...]]:
    """The rows of a table that move, in the order of their keys; their values as the driver has them."""
    statement = rows_of(moved, of)
    if statement is not None:
        yield from connection.stream(statement, AT_ONCE)


def due_next(connection: Connection, of: Chosen | None = None) -> DueNext:
    """What a tick ends next, in its order."""
    count, first, digest = 0, None, sha256()
    for identifier, at in connection.stream(due_in_order(of), AT_ONCE):
        instant = at if isinstance(at, datetime) else read_stored_instant(at)
        assert instant is not None
        first = first or instant.astimezone(UTC)
        count += 1
        digest.update(f"{identifier} {instant.astimezone(UTC).isoformat(timespec='microseconds')}\n".encode())
    return DueNext(count, first, digest.hexdigest())


# -- in ----------------------------------------------------------------------------------------------------------------


def shut_others_out(connection: Connection) -> None:
    """Let nobody write until the transaction ends: SQLite's writers exclude each other anyway."""
    tables = ", ".join(moved.table.name for moved in MOVED)
    if locked := by_dialect(connection, sqlite=None, postgresql=f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE"):
        connection.execute(locked)


def first_that_is_there(connection: Connection) -> str | None:
    """The name of a table that holds more than that of a fresh database."""
    return next((moved.name for moved in MOVED if connection.execute(is_there(moved)).first() is not None), None)


def clear_seeds(connection: Connection, *, whole: bool) -> None:
    """Make room for what a file has in place of what a fresh database has.

    Totals that do not move are counted from the beginning.
    """
    for moved in MOVED:
        if moved.seed is not None and (whole or moved.belongs is not None):
            connection.execute(f"DELETE FROM {moved.table.name}")
    if not whole:
        connection.execute(_RESET_MARKS[connection.dialect])


_RESET_MARKS = {
    "sqlite": "UPDATE waitctl_upkeep SET until_at = '1970-01-01 00:00:00.000000'",
    "postgresql": "UPDATE waitctl_upkeep SET until_at = '1970-01-01 00:00:00Z'",
}


def _stored(text: str) -> str:
    """An instant of a file as SQLite keeps it."""
    return f"{text[:10]} {text[11:26]}" if text[-1:] == "Z" and text[10:11] == "T" else text


_SQLITE: Mapping[ColumnKind, Any] = {ColumnKind.INSTANT: _stored, ColumnKind.FLAG: int}
_POSTGRESQL: Mapping[ColumnKind, Any] = {
    ColumnKind.BYTES: lambda value: f"\\x{value.hex()}",
    ColumnKind.FLAG: lambda value: "ft"[value],
}


def insert_rows(connection: Connection, moved: MovedTable, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all have the same columns. Raises `RefusedRowError`."""
    insert = by_dialect(connection, sqlite=_insert_many, postgresql=_copy)
    columns = [field.name for field in moved.fields if field.name in rows[0]]
    insert(connection, moved, columns, rows)


def _insert_many(
    connection: Connection, moved: MovedTable, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    names, values = [f'"{name}"' for name in columns], [f":{name}" for name in columns]
    given = [dict(zip(columns, row, strict=True)) for row in _given(moved, columns, rows, _SQLITE)]
    before = connection.driver.total_changes
    try:
        connection.execute(f"INSERT INTO {moved.table.name} ({', '.join(names)}) VALUES ({', '.join(values)})", given)
    except Exception as error:
        cause = of_driver(error)
        if type(cause).__name__ not in {"IntegrityError", "DataError"}:
            raise
        raise RefusedRowError(connection.driver.total_changes - before, str(cause)) from error


_PLACE = re.compile(r"COPY \w+, line ([0-9]+)")


def _copy(connection: Connection, moved: MovedTable, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    lines = "\n".join(map(as_copied_values, _given(moved, columns, rows, _POSTGRESQL)))
    try:
        connection.copy(moved.table.name, columns, lines)
    except Exception as error:
        cause = of_driver(error)
        if str(getattr(cause, "sqlstate", ""))[:2] not in {"22", "23"}:
            raise
        place = _PLACE.search(cause.diag.context or "")
        words = ": ".join(filter(None, (cause.diag.message_primary, cause.diag.message_detail)))
        raise RefusedRowError(int(place[1]) - 1 if place else None, words) from error


def _given(
    moved: MovedTable, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], ways: Mapping[ColumnKind, Any]
) -> Iterator[list[Any]]:
    """Rows as the driver takes them."""
    kinds = {field.name: field.kind for field in moved.fields}
    convert = [(place, ways[kinds[name]]) for place, name in enumerate(columns) if kinds[name] in ways]
    for row in rows:
        values = [row[name] for name in columns]
        for place, way in convert:
            if values[place] is not None:
                values[place] = way(values[place])
        yield values


# SQLite's next number is one more than the largest row id, which rows have by their order.
_GO_ON = {
    "sqlite": "UPDATE {table} SET rowid = id WHERE rowid = (SELECT rowid FROM {table} ORDER BY id DESC LIMIT 1)"
    " AND id > (SELECT max(rowid) FROM {table})",
    "postgresql": "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
    " WHERE EXISTS (SELECT 1 FROM {table})",
}


def settle_in(connection: Connection) -> None:
    """Let the database go on numbering where the rows end, and a server learn what there is."""
    for moved in MOVED:
        if moved.is_numbered:
            connection.execute(_GO_ON[connection.dialect].format(table=moved.table.name))
        if analyze := by_dialect(connection, sqlite=None, postgresql=f"ANALYZE {moved.table.name}"):
            connection.execute(analyze)
