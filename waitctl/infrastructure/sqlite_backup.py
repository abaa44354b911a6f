"""A copy of an SQLite database while others work with it, and whether a database is whole."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from waitctl.domain.errors import DatabaseDamagedError, DatabaseUnreachableError, InvalidSettingError
from waitctl.infrastructure.sqlite_file import file_identity


def back_up(path: Path, copy: Path) -> None:
    """Copy the database, as it is at one moment, to a file that is its user's alone; it replaces an older copy.

    ``copy`` is there whole or not at all. Raises `InvalidSettingError` when it cannot be a copy's place,
    `DatabaseDamagedError` and `DatabaseUnreachableError`.
    """
    if file_identity(copy) == file_identity(path) or (copy.exists() and not copy.is_file()):
        raise InvalidSettingError(f"{copy} is no place for a copy of {path}")
    fresh = copy.with_name(f".{copy.name}.{os.urandom(8).hex()}")
    try:
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR, 0o600))
        _copy(path, fresh)
        fresh.replace(copy)
    except OSError as error:
        raise DatabaseUnreachableError(f"cannot copy {path} to {copy}: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)


def _copy(path: Path, fresh: Path) -> None:
    source, target = sqlite3.connect(path), sqlite3.connect(fresh)
    try:
        target.execute("PRAGMA journal_mode = OFF")  # no other file: nobody reads this one before it is done
        source.backup(target)  # in one step, which sees one moment
        found = what_is_damaged(target)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise DatabaseUnreachableError(f"cannot copy {path}: {error}") from error
    finally:
        source.close()
        target.close()
    if found is not None:
        raise DatabaseDamagedError(f"{path} is damaged, and was not copied: {found}")


def what_is_damaged(connection: sqlite3.Connection) -> str | None:
    """What SQLite's quick check finds first; ``None`` when it finds nothing."""
    found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    return None if found == "ok" else " ".join(found.removeprefix("*** in database main ***").split())
