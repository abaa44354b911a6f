"""An SQLite file that is damaged, and one that is copied while others work."""

from __future__ import annotations

import random
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.processes import Waitctl, finish
from tests.scene import NOON, Scene
from waitctl.infrastructure.schema_version import HEAD

PAGE = 4096
COMMANDS = (
    ["list", "--limit", "500"],
    ["pending"],
    ["event", "list", "--limit", "500"],
    ["upcoming"],
    ["replan", "--all"],
    ["create", "fixed-time", "1h"],
    ["event", "record", "email_open", "--contact", "c7"],
    ["tick"],
    ["tick", "-o", "json"],
    ["db", "current"],
)


@pytest.fixture(scope="module")
def full(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with some of everything, nobody's own."""
    path = tmp_path_factory.mktemp("full") / "waits.db"
    path.write_bytes(migrated_file.read_bytes())
    scene = Scene(f"sqlite:///{path}").on_the_real_clock()
    for number in range(150):
        due = {"base": NOON} if number % 2 else {}
        scene.create("3d", **due, execution=f"e{number}", handler="nudge", context={"a": "x" * 300})
        scene.listen(execution=f"l{number}", contact=f"c{number}")
    for number in range(0, 150, 3):
        scene.record(contact=f"c{number}")
    scene.database.close()
    return path.read_bytes()


def damaged(content: bytes, chance: random.Random, pages: int) -> bytes:
    """Pages of garbage, and pages with a few wrong bytes."""
    data = bytearray(content)
    for page in chance.sample(range(1, len(data) // PAGE), pages):
        start = page * PAGE
        if chance.random() < 0.5:
            data[start : start + PAGE] = chance.randbytes(PAGE)
        else:
            for _ in range(20):
                data[start + chance.randrange(PAGE)] = chance.randrange(256)
    return bytes(data)


def test_a_file_that_is_whole(run: Waitctl) -> None:
    assert run("db", "check").ok().out == f"{run.folder / 'waits.db'} is at head ({HEAD})\n"


@pytest.mark.parametrize("seed", range(3))
def test_damaged_pages(run: Waitctl, full: bytes, seed: int) -> None:
    """`db check` says so whatever they hold, other commands when they meet them; none calls it a bug."""
    path, chance = run.folder / "waits.db", random.Random(seed)
    content = damaged(full, chance, 40)
    path.write_bytes(content)
    assert "damaged" in run("db", "check").error(5)
    for command in COMMANDS:
        path.write_bytes(content)
        finished = run(*command)
        assert finished.code in {0, 5} and "bug" not in finished.err, finished
        assert finished.err.count("error") <= 1


def test_a_word_that_nobody_knows(run: Waitctl, full: bytes) -> None:
    """Every page can be read, and what stands there cannot be."""
    path = run.folder / "waits.db"
    path.write_bytes(full)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE workflow_wait_executions SET wait_type = 'fixed_tyme'")
        connection.commit()
    for command in (["list"], ["db", "check"]):
        assert "damaged" in run(*command).error(5)


def test_a_tick_says_what_it_meets(run: Waitctl, full: bytes) -> None:
    path = run.folder / "waits.db"
    path.write_bytes(full)
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'workflow_wait_executions'"
        ).fetchone()
    content = bytearray(path.read_bytes())
    content[(root - 1) * PAGE : root * PAGE] = bytes(PAGE)
    path.write_bytes(content)
    assert run("tick").error(5) == f"{path} is damaged"
    assert run("tick", "-o", "json").json_error(5)["code"] == "database_damaged"


# -- copies ------------------------------------------------------------------------------------------------------------


def test_a_copy_is_complete_whatever_runs_meanwhile(run: Waitctl) -> None:
    """It holds all that was there when it began, and nothing by halves."""
    copy = run.folder / "copy.db"
    writer = run.start("event", "ingest", stdin=subprocess.PIPE)
    assert writer.stdin is not None
    for number in range(3):
        for line in range(2000):
            writer.stdin.write(f'{{"type": "sms_reply", "contact": "c{line}", "id": "{number}-{line}"}}\n'.encode())
        writer.stdin.flush()
        wait = run("create", "fixed-time", "1h", "-o", "id").ok().out.strip()
        assert run("db", "backup", str(copy)).ok().out == f"{copy}\n"
        assert copy.stat().st_mode & 0o777 == 0o600
        with closing(sqlite3.connect(f"file:{copy}?mode=ro&immutable=1", uri=True)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("SELECT count(*) FROM workflow_events").fetchone()[0] % 1000 == 0
        assert wait in Waitctl(run.folder, f"sqlite:///{copy}")("list", "-o", "id").ok().lines
        for suffix in ("-wal", "-shm"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)
    writer.stdin.close()
    writer.stdin = None
    finish(writer)
    assert sorted(each.name for each in run.folder.glob("*copy*")) == ["copy.db"]


def test_where_no_copy_can_be(run: Waitctl, nowhere: Waitctl, full: bytes, postgres_url: str, tmp_path: Path) -> None:
    path = run.folder / "waits.db"
    for place in (path, run.folder):
        assert "no place" in run("db", "backup", str(place)).error(2)
    assert "standard output" in run("db", "backup", "-").error(2)
    assert "cannot copy" in run("db", "backup", str(run.folder / "none" / "copy.db")).error(5)
    assert "only an SQLite file" in Waitctl(tmp_path, postgres_url)("db", "backup", "copy.db").error(2)
    path.unlink()
    assert "no database at" in run("db", "backup", "copy.db").error(5)
    assert not (run.folder / "copy.db").exists()


def test_a_damaged_file_takes_no_good_copys_place(run: Waitctl, full: bytes) -> None:
    path, copy = run.folder / "waits.db", run.folder / "copy.db"
    run("db", "backup", str(copy)).ok()
    good = copy.read_bytes()
    path.write_bytes(damaged(full, random.Random(1), 40))
    run("db", "backup", str(copy)).error(5)
    assert copy.read_bytes() == good
    assert sorted(each.name for each in run.folder.iterdir()) == ["copy.db", "waits.db"]
