"""What the drivers' errors mean to the caller of a database."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from waitctl.domain.errors import (
    DatabaseBusyError,
    DatabaseDamagedError,
    DatabaseError,
    DatabaseFullError,
    DatabaseReadOnlyError,
    DatabaseUnreachableError,
    SchemaVersionError,
    WaitStepError,
)
from waitctl.infrastructure.redaction import redact
from waitctl.infrastructure.sqlite_file import why_barred

RETRIED_STATES = {"40P01", "40001"}  # deadlock detected, serialization failure


@contextmanager
def translated_errors(name: Callable[[], str]) -> Iterator[None]:
    """Turn the driver's errors into ours, by what they mean to the caller of the database of that name.

    Raises `DatabaseDamagedError` or another `DatabaseError`. What is left as it is, is a defect of ours: a statement
    that no healthy database would take.
    """
    try:
        yield
    except WaitStepError:
        raise
    except UnicodeDecodeError as error:  # by SQLite's driver, perhaps of SQLite's own words
        raise DatabaseDamagedError(f"{name()} holds text that is not UTF-8", hint=RESTORE) from error
    except Exception as error:
        cause = of_driver(error)
        if cause is None:
            raise
        translated = _of_sqlite(cause, name()) if isinstance(cause, sqlite3.Error) else _of_postgresql(cause, name())
        if translated is None:
            raise
        raise translated from error


def of_driver(error: BaseException) -> Any:
    """The driver's error that this one is, or that SQLAlchemy has wrapped in it; None when it is no driver's.

    A driver that nobody has loaded has raised none.
    """
    cause = getattr(error, "orig", error)
    kinds = (sqlite3.Error, *((module.Error,) if (module := sys.modules.get("psycopg")) else ()))
    return cause if isinstance(cause, kinds) else None


def is_integrity_error(error: BaseException) -> bool:
    """Whether a driver says that a constraint was not kept."""
    cause = of_driver(error)
    return isinstance(cause, sqlite3.IntegrityError) or str(getattr(cause, "sqlstate", "")).startswith("23")


RESTORE = "waitctl db check says more; put a copy of waitctl db backup in its place"

_Meaning = tuple[type[DatabaseError], str]

# By SQLite's primary result codes.
_SQLITE: dict[int, _Meaning] = {
    3: (DatabaseUnreachableError, "cannot open {name}"),  # SQLITE_PERM
    5: (DatabaseBusyError, "{name} is locked by another process"),  # SQLITE_BUSY
    6: (DatabaseBusyError, "{name} is locked by another process"),  # SQLITE_LOCKED
    8: (DatabaseReadOnlyError, "{name} is read-only"),  # SQLITE_READONLY
    10: (DatabaseUnreachableError, "the disk of {name} cannot be read or written"),  # SQLITE_IOERR
    11: (DatabaseDamagedError, "{name} is damaged"),  # SQLITE_CORRUPT
    13: (DatabaseFullError, "the disk of {name} is full"),  # SQLITE_FULL
    14: (DatabaseUnreachableError, "cannot open {name}"),  # SQLITE_CANTOPEN
    15: (DatabaseBusyError, "{name} is being opened by too many at once"),  # SQLITE_PROTOCOL
    26: (DatabaseUnreachableError, "{name} is not a database"),  # SQLITE_NOTADB
}

# What has no result code of its own.
_SQLITE_TEXTS: dict[str, _Meaning] = {
    "already exists": (SchemaVersionError, "{name} has tables of another application with the names of ours"),
    "unsafe use of": (DatabaseUnreachableError, "{name} has a trigger or a view that calls functions of waitctl"),
    "no such table": (SchemaVersionError, "{name} has lost a table of ours"),
    "no such column": (SchemaVersionError, "{name} has lost a column of ours"),
    "no such function": (DatabaseUnreachableError, "{name} has a trigger or a view that calls what is not there"),
    "Could not decode to UTF-8": (DatabaseDamagedError, "{name} holds text that is not UTF-8"),
}


def _of_sqlite(cause: sqlite3.Error, name: str) -> WaitStepError | None:
    meaning = _SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
    meaning = meaning or next((meant for text, meant in _SQLITE_TEXTS.items() if text in str(cause)), None)
    if meaning is None:
        return None
    kind, message = meaning
    message, hint = message.format(name=name), RESTORE if kind is DatabaseDamagedError else None
    if kind in {DatabaseUnreachableError, DatabaseReadOnlyError} and (barred := why_barred(Path(name))):
        message, hint = f"{message}: {barred.reason}", barred.remedy
    return kind(message, hint=hint)


# By SQLSTATE, or by the first characters of one: the longest that fits.
_POSTGRESQL: dict[str, _Meaning] = {
    "08": (DatabaseUnreachableError, "cannot reach {name}: {reason}"),
    "25006": (DatabaseReadOnlyError, "{name} is read-only: {reason}"),
    "25P": (DatabaseBusyError, "{name} ended a transaction: {reason}"),  # its time-outs
    "28": (DatabaseUnreachableError, "cannot reach {name}: {reason}"),  # authorization
    "3D": (DatabaseUnreachableError, "cannot reach {name}: {reason}"),  # no such database
    "40": (DatabaseBusyError, "another transaction was in the way: {reason}"),
    "42501": (DatabaseUnreachableError, "{name}: {reason}"),  # privileges
    "42703": (SchemaVersionError, "{name} has lost a column of ours: {reason}"),
    "42P01": (SchemaVersionError, "{name} has lost a table of ours: {reason}"),
    "53": (DatabaseUnreachableError, "{name} is short of something: {reason}"),  # memory, connections
    "53100": (DatabaseFullError, "the disk of {name} is full: {reason}"),
    "55P03": (DatabaseBusyError, "{name} ended a statement: {reason}"),  # lock_timeout, NOWAIT
    "57014": (DatabaseBusyError, "{name} ended a statement: {reason}"),  # statement_timeout, pg_cancel_backend
    "57P": (DatabaseUnreachableError, "cannot reach {name}: {reason}"),  # shutdown, terminated, starting up
    "58": (DatabaseUnreachableError, "{name} cannot use its disk: {reason}"),
    "XX": (DatabaseUnreachableError, "{name} met an error of its own: {reason}"),
    "XX001": (DatabaseDamagedError, "{name} is damaged: {reason}"),
    "XX002": (DatabaseDamagedError, "{name} is damaged: {reason}"),
}


def _of_postgresql(cause: Any, name: str) -> WaitStepError | None:
    import psycopg

    state: str | None = getattr(cause, "sqlstate", None)
    if state is None:  # an error of the driver: of a connection that is lost, or of how we use it
        is_lost = isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
        meaning = _POSTGRESQL["08"] if is_lost else None
    else:
        meaning = next((_POSTGRESQL[state[:n]] for n in range(5, 1, -1) if state[:n] in _POSTGRESQL), None)
    if meaning is None:
        return None
    kind, message = meaning
    reason = redact(str(cause).strip().partition("\n")[0])
    hint = "run it again" if state is not None and state[:2] == "40" else None
    hint = "run: waitctl db upgrade" if kind is SchemaVersionError else hint
    return kind(message.format(name=name, reason=reason), hint=hint)
