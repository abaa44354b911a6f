"""An SQLite database as a file: made as its owner's alone, looked at, and copied before it changes shape."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from pathlib import Path

from sqlalchemy.exc import OperationalError

from waitctl.domain.errors import DatabaseNotFoundError, DatabaseUnreachableError

BUSY_SECONDS = 30
"""Seconds that a transaction waits for another process's lock."""


def require_file(path: Path) -> None:
    """Raise `DatabaseNotFoundError` when there is no such file."""
    if not path.exists():
        raise DatabaseNotFoundError(
            f"no database at {path}",
            hint="create a wait, record an event or run waitctl db upgrade to make one; "
            "a cron job with another HOME needs --database-url",
        )


def prepare_file(path: Path) -> None:
    """Make the file when there is none, and see that it keeps a write-ahead log.

    Raises `DatabaseUnreachableError` when it cannot be made, SQLAlchemy's `OperationalError` when it stays locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _create_private(path)
    except FileNotFoundError as error:
        raise DatabaseUnreachableError(f"cannot create {path}: {error.strerror}") from error
    except PermissionError:
        return  # the database driver says it better
    except OSError as error:
        raise DatabaseUnreachableError(f"cannot create {path}: {error.strerror}") from error
    # The busy handler is not asked when a journal mode changes, so eight first uses need a loop.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise OperationalError("PRAGMA journal_mode = WAL", None, error) from error
            time.sleep(0.01)
        finally:
            connection.close()


def _create_private(path: Path) -> None:
    """Make a file that is not there yet: contacts and contexts are the owner's business.

    One that is there is not even opened. POSIX forgets a process's locks on a file when it closes any descriptor of it,
    and without the lock of a connection of ours another process takes itself for the last one, and deletes the WAL that
    we go on writing to.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if path.is_dir():
            raise


def file_identity(path: Path) -> tuple[int, int] | None:
    """Which file it is that bears this name now."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_private(path: Path) -> bool:
    """Whether the file, with its folder, is this user's own and nobody else's to write."""
    file = path.resolve()
    return all(_is_own(place) for place in (file, file.parent) if place.exists())


def _is_own(place: Path) -> bool:
    status = place.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def copy_beside(path: Path, suffix: str) -> None:
    """Copy the database to a file beside it, of its name and this suffix; other connections may go on."""
    copy = path.with_name(f"{path.name}.{suffix}")
    os.close(os.open(copy, os.O_CREAT | os.O_RDWR, 0o600))  # as private as the file itself
    source, target = sqlite3.connect(path), sqlite3.connect(copy)
    try:
        source.backup(target)
    finally:
        source.close()
        target.close()
