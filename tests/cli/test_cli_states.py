"""A database that is away, missing, of another version, damaged or read-only, for all that works on much of it at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.cli.processes import Waitctl
from waitctl.infrastructure.schema_version import VERSION_TABLE

CREATES = {"template save", "import"}
"""What makes an SQLite file that is not there."""
WRITES = {
    *CREATES,
    "template use",
    "template remove",
    "prune",
    "bulk cancel",
    "bulk reschedule",
    "bulk apply",
    "bulk undo",
}


def lines(run: Waitctl) -> dict[str, list[str]]:
    """Command lines that succeed on a database with one of each; and an export to import."""
    run("template", "save", "remind", "--", "create", "fixed-time", "1h").ok()
    run("create", "fixed-time", "1h", "-e", "e").ok()
    run("export", "out.ndjson").ok()
    run("create", "fixed-time", "1h", "-e", "f").ok()
    plan = run("bulk", "reschedule", "-e", "e", "--by", "1h", "-o", "id").ok().lines[0]
    done = run("bulk", "cancel", "-e", "f", "-o", "id").ok().lines[0]
    run("bulk", "apply", done, "-q").ok()
    return {
        "export": ["new.ndjson"],
        "import": ["out.ndjson"],
        "simulate": ["--until", "1d"],
        "template save": ["other", "--", "create", "fixed-time", "1h"],
        "template list": [],
        "template show": ["remind"],
        "template use": ["remind"],
        "template remove": ["remind"],
        "bulk cancel": ["--all"],
        "bulk reschedule": ["--all", "--by", "1h"],
        "bulk apply": [plan],
        "bulk undo": [done],
        "bulk list": [],
        "bulk show": [plan],
        "analytics": ["--by", "workflow"],
        "prune": ["--older-than", "900d"],
        "metrics": [],
    }


def check(run: Waitctl, name: str, arguments: list[str], said: str) -> None:
    """It is exit status 5, in one line, and no file has come into being."""
    there = files(run)
    error = run(*name.split(), *arguments).error(5)
    assert said in error, (name, error)
    assert files(run) == there, name


def files(run: Waitctl) -> set[str]:
    """What lies there, but for what SQLite has beside a file that is open."""
    return {each.name for each in run.folder.iterdir() if not each.name.endswith(("-wal", "-shm"))}


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _version(url: str, version: str) -> str:
    with psycopg.connect(_plain(url)) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = %s".encode(), (version,))
    return url


def _emptied(url: str) -> str:
    with psycopg.connect(_plain(url)) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url


def _read_only(url: str) -> str:
    given = make_url(url)
    return given.update_query_dict({"options": "-c default_transaction_read_only=on"}).render_as_string(False)


SERVERS: dict[str, tuple[Callable[[str], str], str]] = {
    "away": (lambda url: make_url(url).set(host="127.0.0.1", port=1, query={}).render_as_string(False), "refused"),
    "without tables": (_emptied, "has no waitctl tables"),
    "behind": (lambda url: _version(url, "0014"), "is at 0014: this waitctl needs"),
    "ahead": (lambda url: _version(url, "9999"), "is at 9999, newer than this waitctl"),
    "read-only": (_read_only, "read-only"),
}


@pytest.mark.parametrize("state", SERVERS)
def test_a_server_that_is_not_as_it_should_be(postgres_url: str, tmp_path: Path, state: str) -> None:
    run = Waitctl(tmp_path, postgres_url)
    asked = lines(run)
    make, said = SERVERS[state]
    run.url = make(postgres_url)
    for name, arguments in asked.items():
        if state != "read-only" or name in WRITES - {"import"}:  # which says first that the database is not empty
            check(run, name, arguments, said)
        elif name != "import":
            run(*name.split(), *arguments).ok()


def _forged(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")


def _gone(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def _overwritten(path: Path) -> None:
    _gone(path)
    path.write_text("no database " * 1000)


def _a_folder(path: Path) -> None:
    _gone(path)
    path.mkdir()


def _damaged(path: Path) -> None:
    """Every page but the first."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (_gone, "no database at"),
    "ahead": (_forged, "is at 9999, newer than this waitctl"),
    "no database": (_overwritten, "not a database"),
    "damaged": (_damaged, "damaged"),
    "a folder": (_a_folder, "waits.db"),
}


@pytest.mark.parametrize("state", FILES)
def test_a_file_that_is_not_as_it_should_be(run: Waitctl, tmp_path: Path, state: str) -> None:
    asked = lines(run)
    make, said = FILES[state]
    make(tmp_path / "waits.db")
    for name, arguments in asked.items():
        if state != "missing" or name not in CREATES:
            check(run, name, arguments, said)


def test_a_disk_that_is_full_changes_nothing(run: Waitctl, tmp_path: Path) -> None:
    """No file may grow: what writes says so, in one line, and what is read only is read."""
    asked = lines(run)
    with closing(sqlite3.connect(tmp_path / "waits.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    unmeasured = {"COVERAGE_PROCESS_CONFIG": None, "COVERAGE_PROCESS_START": None}
    for name, arguments in asked.items():
        if name == "import":
            continue
        finished = run(*name.split(), *arguments, shell='ulimit -f 0; exec "$@"', env=unmeasured)
        assert "bug" not in finished.err, (name, finished)
        assert finished.err.count("error: ") <= 1, (name, finished)
        if name in WRITES | {"export"}:
            assert finished.code == 5 or name == "prune", (name, finished)
