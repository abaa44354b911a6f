"""`waitctl` as a process, on SQLite and on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes import Waitctl


@pytest.fixture
def run(tmp_path: Path, sqlite_url: str) -> Waitctl:
    """The command, on an SQLite database that is not there yet."""
    return Waitctl(tmp_path, sqlite_url)


@pytest.fixture
def run_on(tmp_path: Path, url: str) -> Waitctl:
    """The command, on a fresh database of each kind."""
    return Waitctl(tmp_path, url)
