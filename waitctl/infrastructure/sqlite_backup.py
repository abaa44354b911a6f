"""A copy of an SQLite database while others work with it, and whether a database is whole."""

from __future__ import annotations

import errno
import os
import sqlite3
from itertools import count
from pathlib import Path

from waitctl.domain.errors import DatabaseDamagedError, DatabaseUnreachableError, InvalidSettingError
from waitctl.infrastructure.file_trust import file_identity, opened
from waitctl.infrastructure.new_files import new_file


def back_up(path: Path, copy: Path) -> None:
    """Copy the database, as it is at one moment, to a file that is its user's alone; it replaces an older copy.

    ``copy`` is there whole or not at all. Raises `InvalidSettingError` when it cannot be a copy's place,
    `DatabaseDamagedError` and `DatabaseUnreachableError`.
    """
    if file_identity(copy) == file_identity(path) or (copy.exists() and not copy.is_file()):
        raise InvalidSettingError(f"{copy} is no place for a copy of {path}")
    try:
        with new_file(copy, replace=True) as (fresh, descriptor):
            _copy(path, fresh, descriptor)
    except OSError as error:
        raise DatabaseUnreachableError(f"cannot copy {path} to {copy}: {error.strerror}") from error


def copy_beside(path: Path, suffix: str) -> None:
    """Copy the database to a new file beside it, of its name and this suffix; other connections may go on.

    Where that name is taken, a number follows it: nothing is replaced. Raises `DatabaseDamagedError` and
    `DatabaseUnreachableError`.
    """
    for number in count(1):
        copy = path.with_name(f"{path.name}.{suffix}{'' if number == 1 else f'.{number}'}")
        if copy.is_symlink() or copy.exists():  # before all the work
            continue
        try:
            with new_file(copy) as (fresh, descriptor):
                _copy(path, fresh, descriptor)
        except FileExistsError:
            continue
        except OSError as error:
            raise DatabaseUnreachableError(f"cannot copy {path} to {copy}: {error.strerror}") from error
        break


def copy_of(source: sqlite3.Connection, copy: Path) -> None:
    """Copy to a new file what this connection reads, which is to be thrown away. Raises `DatabaseUnreachableError`."""
    target = sqlite3.connect(copy)
    try:
        target.execute("PRAGMA synchronous = OFF")
        source.backup(target)
    except sqlite3.DatabaseError as error:
        raise DatabaseUnreachableError(
            f"cannot copy the database to {copy.parent}: {error}", hint="TMPDIR says where there is room for it"
        ) from error
    finally:
        target.close()


def _copy(path: Path, fresh: Path, descriptor: int) -> None:
    """Copy into the file that is open as ``descriptor``. SQLite knows but its name: it must have opened the same."""
    source, target = sqlite3.connect(path), sqlite3.connect(fresh)
    try:
        target.execute("PRAGMA journal_mode = OFF")  # no other file: nobody reads this one before it is done
        status = os.fstat(descriptor)
        if opened((status.st_dev, status.st_ino)) not in {None, 2}:
            raise OSError(errno.ESTALE, "somebody else moved it away", str(fresh))
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
