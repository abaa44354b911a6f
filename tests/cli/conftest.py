"""`waitctl` as a process: with a fresh database, with none, on both kinds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.processes import Waitctl


@pytest.fixture
def nowhere(tmp_path: Path, sqlite_url: str) -> Waitctl:
    """The command, on an SQLite database that is not there yet."""
    return Waitctl(tmp_path, sqlite_url)


@pytest.fixture
def run(nowhere: Waitctl, tmp_path: Path, migrated_file: Path) -> Waitctl:
    """The command, on an empty SQLite database at head."""
    shutil.copy(migrated_file, tmp_path / "waits.db")
    return nowhere


@pytest.fixture
def run_on(tmp_path: Path, url: str) -> Waitctl:
    """The command, on an empty database of each kind, at head."""
    return Waitctl(tmp_path, url)
