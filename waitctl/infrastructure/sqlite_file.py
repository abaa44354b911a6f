"""An SQLite database as a file: made as its owner's alone, and looked at."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from pathlib import Path
from typing import NamedTuple

from waitctl.domain.errors import DatabaseNotFoundError, DatabaseUnreachableError
from waitctl.infrastructure.database_url import Url
from waitctl.infrastructure.file_trust import check_owner, user_name
from waitctl.infrastructure.user_folders import make_folder

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite reads and writes beside a database, by the ends of their names."""

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

    Raises `DatabaseUnreachableError` when it cannot be made, `UnsafeFileError` when it is somebody else's, and
    the driver's `OperationalError` when it stays locked.
    """
    check_owner(path, "the database")
    try:
        make_folder(path.parent)
        _create_private(path)
    except FileNotFoundError as error:
        raise DatabaseUnreachableError(f"cannot create {path}: {error.strerror}") from error
    except PermissionError:
        return  # the database driver says it better
    except OSError as error:
        raise DatabaseUnreachableError(f"cannot create {path}: {error.strerror}") from error
    check_owner(path, "the database", BESIDE)
    # The busy handler is not asked when a journal mode changes, so eight first uses need a loop.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
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
        target = Path(os.path.realpath(path))
        if path.is_dir() or target.is_symlink():
            raise
        if target != path and not target.exists():  # SQLite would make it for all to read
            _create_private(target)


class Barred(NamedTuple):
    """Why this user may not use a file, and what helps."""

    reason: str
    remedy: str


def why_barred(path: Path) -> Barred | None:
    """What keeps this user from a database that is there, if it is its owner or its mode, or a folder's above it."""
    for each in (*reversed(path.absolute().parents), path):
        needed = os.R_OK | os.W_OK if each == path else os.X_OK
        try:
            found = each.stat()
        except OSError:
            return None
        if not os.access(each, needed):
            owner, me = user_name(found.st_uid), user_name(os.geteuid())
            reason = f"{each} belongs to {owner} (mode {stat.S_IMODE(found.st_mode):04o}), and this is {me}"
            if found.st_uid == os.geteuid():
                return Barred(reason, f"chmod u+{'rwx' if each != path else 'rw'} {each}")
            return Barred(reason, f"run waitctl as {owner}, or name a database of your own with --database-url")
    return None


def sqlite_path(database: str) -> Path:
    """The file of an SQLite URL: a path, or a ``file:`` URI."""
    if not database.startswith("file:"):
        return Path(database)
    from urllib.parse import unquote, urlsplit

    return Path(unquote(urlsplit(database).path))


def sqlite_argument(url: Url) -> tuple[str, bool]:
    """What the driver opens for an SQLite URL, and whether that is an SQLite URI, with its own parameters."""
    database = url.database or ""
    if str(url.query.get("uri", "")).lower() not in {"true", "yes", "on", "y", "t", "1"}:
        return str(Path(database).absolute()), False
    own = "&".join(f"{key}={url.query[key]}" for key in sorted(url.query.keys() - {"uri"}))
    return database + (own and f"?{own}"), True
