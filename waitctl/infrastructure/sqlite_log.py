"""The write-ahead log beside an SQLite file: whether what bears its name still is what our connections write to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from waitctl.infrastructure.file_trust import file_identity

Identity = tuple[int, int] | None

_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=5)
connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
print(flush=True)
sys.stdin.read()
connection.close()
"""


def log_identity(path: Path) -> tuple[Identity, Identity]:
    """Which files are the log and its index now. SQLite keeps them for as long as anybody has the database open."""
    log, index = _log_names(path)
    return file_identity(log), file_identity(index)


@lru_cache(maxsize=8)
def _log_names(path: Path) -> tuple[Path, Path]:
    """Beside the file itself, wherever links lead. Where they lead elsewhere later, it is another file, too."""
    real = os.path.realpath(path)
    return Path(f"{real}-wal"), Path(f"{real}-shm")


@contextmanager
def held_by_another(path: Path) -> Iterator[None]:
    """Another process has the database open meanwhile.

    Who closes a database last deletes the log by its name: it would be a log that others have begun, of whose commits
    our connections know nothing. While somebody else has the database open, nobody is the last.
    """
    import subprocess

    with subprocess.Popen(
        [sys.executable, "-I", "-c", _HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
