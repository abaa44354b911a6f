"""`waitctl export` and `import` as processes: files, refusals, kills, and what runs beside them."""

from __future__ import annotations

import gzip
import json
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.processes import Waitctl, finish
from tests.faults import FAULTS, PlainRole
from tests.moving import exported


@pytest.fixture
def full(run: Waitctl) -> Waitctl:
    """A database with a few waits."""
    run("create", "fixed-time", "3d", "-e", "order-1", "--key", "k").ok()
    run("create", "for-event", "sms_reply", "-c", "ada", "-e", "order-2").ok()
    return run


@pytest.fixture
def other(tmp_path: Path) -> Waitctl:
    """The command on another database, which is not there yet."""
    return Waitctl(tmp_path, f"sqlite:///{tmp_path / 'other.db'}")


def rows(path: Path) -> int:
    return len(path.read_bytes().splitlines())


def test_a_file_is_the_same_and_this_users_alone(full: Waitctl, other: Waitctl, tmp_path: Path) -> None:
    done = full("export", "a.ndjson", "-o", "json").ok().json
    assert (done["file"], done["waits"], done["listeners"], done["due_next"]["count"]) == ("a.ndjson", 2, 1, 1)
    assert (tmp_path / "a.ndjson").stat().st_mode & 0o777 == 0o600
    full("export", "a.ndjson.gz").ok()
    assert gzip.decompress((tmp_path / "a.ndjson.gz").read_bytes()) == (tmp_path / "a.ndjson").read_bytes()
    tried = other("import", "--dry-run", "a.ndjson", "-o", "json").ok().json
    assert not (tmp_path / "other.db").exists()
    came = other("import", "a.ndjson.gz", "-o", "json").ok().json
    assert came == tried
    assert (came["waits"], came["due_next"], came["matches"]) == (2, done["due_next"], True)
    other("export", "b.ndjson.gz").ok()
    assert (tmp_path / "b.ndjson.gz").read_bytes() == (tmp_path / "a.ndjson.gz").read_bytes()
    assert not other("create", "fixed-time", "3d", "-e", "order-1", "--key", "k", "-o", "json").ok().json["created"]


def test_a_pipe(full: Waitctl, other: Waitctl, tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text(full("export", "-", "-q").ok().out)
    assert "2 waits" in other("import", "-", stdin=(tmp_path / "a.ndjson").read_bytes()).ok().out


def test_nothing_is_replaced_or_mixed(full: Waitctl, tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text("mine")
    assert full("export", "a.ndjson").error(2) == "a.ndjson is there already"
    assert (tmp_path / "a.ndjson").read_text() == "mine"
    full("export", "b.ndjson").ok()
    before = exported(str(full.url))
    assert "is not empty: it has waits" in full("import", "b.ndjson").error(4)
    assert full("import", "b.ndjson", "--dry-run", "-o", "json").json_error(4)["code"] == "database_not_empty"
    assert exported(str(full.url)) == before
    assert sorted(each.name for each in tmp_path.glob("*ndjson*")) == ["a.ndjson", "b.ndjson"]


def line(number: int, change: Callable[[dict[str, Any]], Any]) -> Callable[[list[str]], list[str]]:
    """Change what a line says."""

    def changed(lines: list[str]) -> list[str]:
        found = json.loads(lines[number])
        change(found)
        return [*lines[:number], json.dumps(found) + "\n", *lines[number + 1 :][: len(lines)]]

    return changed


WAIT = 7
"""The place of a wait's line, behind the header and six types of events."""

DAMAGES: dict[str, tuple[str, Callable[[list[str]], list[str]]]] = {
    "empty": ("the first line is not its header", lambda _: []),
    "not ours": ("the first line is not its header", lambda _: ['{"type": "sms_reply"}\n']),
    "no JSON": ("line 1: it is not valid JSON", lambda lines: ["waits\n", *lines]),
    "newer form": ("an export of format 2", line(0, lambda found: found.update(format=2))),
    "newer schema": ("newer than this waitctl", line(0, lambda found: found.update(schema="9999"))),
    "cut off": ("the file is cut off", lambda lines: lines[:-1]),
    "cut in a line": ("line 8: it is not valid JSON", lambda lines: [*lines[:WAIT], lines[WAIT][:40]]),
    "one line less": ("6 event_types are to be here, and 5 are", lambda lines: lines[:1] + lines[2:]),
    "one more behind": ("there is more behind", lambda lines: [*lines, lines[-2]]),
    "another text": (
        "the lines before it are not those",
        lambda lines: [each.replace("order-1", "order-7") for each in lines],
    ),
    "another table": ("line 8: it is no row", line(WAIT, lambda found: found.update(table="users"))),
    "another column": (
        "line 8: waits: there is no column 'salary'",
        line(WAIT, lambda found: found["row"].update(salary=1)),
    ),
    "no id": ("line 8: waits: id is missing", line(WAIT, lambda found: found["row"].pop("id"))),
    "no instant": (
        "line 8: waits: scheduled_at is no instant",
        line(WAIT, lambda found: found["row"].update(scheduled_at="soon")),
    ),
    "no status": ("status cannot be 'asleep'", line(WAIT, lambda found: found["row"].update(status="asleep"))),
    "a text that is none": ("step_id is no text", line(WAIT, lambda found: found["row"].update(step_id=7))),
    "NaN": ("line 8: it is not valid JSON", line(WAIT, lambda found: found["row"].update(context=float("nan")))),
    "twice": ("line 9: ", lambda lines: [*lines[: WAIT + 1], lines[WAIT], *lines[WAIT + 1 :]]),
    "against a rule": (
        "line 8: ",
        line(WAIT, lambda found: found["row"].update(resolved_at="2026-01-01T00:00:00.000000Z")),
    ),
    "out of order": ("event_types come before", lambda lines: [lines[0], *lines[WAIT : WAIT + 1], *lines[1:]]),
    "a bad number": ("is no integer", lambda lines: [each.replace('"needed":1', '"needed":"1"') for each in lines]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_export_is_refused_by_its_line(full: Waitctl, other: Waitctl, tmp_path: Path, damage: str) -> None:
    message, change = DAMAGES[damage]
    lines = exported(str(full.url)).decode().splitlines(keepends=True)
    (tmp_path / "bad.ndjson").write_text("".join(change(lines)))
    found = other("import", "bad.ndjson", "-o", "json").json_error(2)
    assert (found["code"], message in found["message"]) == ("invalid_export", True), found
    assert other("list", "-o", "id").ok().lines == []


@pytest.mark.parametrize("damage", ["twice", "against a rule"])
def test_what_a_server_refuses_is_named_by_its_line(
    full: Waitctl, tmp_path: Path, postgres_url: str, damage: str
) -> None:
    message, change = DAMAGES[damage]
    lines = exported(str(full.url)).decode().splitlines(keepends=True)
    (tmp_path / "bad.ndjson").write_text("".join(change(lines)))
    before = exported(postgres_url)
    assert Waitctl(tmp_path, postgres_url)("import", "bad.ndjson").error(2).startswith(message)
    assert exported(postgres_url) == before


def test_a_compressed_file_that_is_damaged(full: Waitctl, other: Waitctl, tmp_path: Path) -> None:
    full("export", "a.ndjson.gz").ok()
    whole = (tmp_path / "a.ndjson.gz").read_bytes()
    for name, content in (("cut", whole[:-20]), ("flipped", whole[:-8] + b"\0\0" + whole[-6:]), ("none", b"waits")):
        (tmp_path / f"{name}.gz").write_bytes(content)
        assert "damaged" in other("import", f"{name}.gz").error(2)
    assert "cannot read" in other("import", "none.ndjson").error(2)
    assert "cannot read" in other("import", ".").error(2)


@pytest.fixture
def role(postgres_url: str) -> Iterator[PlainRole]:
    role = PlainRole(postgres_url)
    yield role
    role.close()


@pytest.mark.parametrize("state", FAULTS)
def test_a_server_that_refuses_an_import(full: Waitctl, role: PlainRole, tmp_path: Path, state: str) -> None:
    full("export", "a.ndjson").ok()
    run = Waitctl(tmp_path, role.url)
    role.prepare(state, "50ms")
    with role.fault(state):
        assert FAULTS[state] in run("import", "a.ndjson").error(5)
    assert "2 waits" in run("import", "a.ndjson").ok().out


SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
CREATE TRIGGER slow AFTER INSERT ON workflow_wait_transitions FOR EACH STATEMENT EXECUTE FUNCTION slow();
"""


def test_a_killed_import_leaves_nothing(full: Waitctl, tmp_path: Path, postgres_url: str) -> None:
    """It hangs behind its first rows, and is killed there."""
    full("export", "a.ndjson").ok()
    run = Waitctl(tmp_path, postgres_url)
    before = exported(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(SLOW.encode())
        process = run.start("import", "a.ndjson")
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        while server.execute(sleeping.encode()).fetchone() == (0,):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        finish(process)
        gone = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        server.execute(gone.encode())
        server.execute(b"DROP FUNCTION slow CASCADE")
    assert exported(postgres_url) == before
    assert "2 waits" in run("import", "a.ndjson").ok().out


def test_a_killed_import_of_a_file_leaves_nothing(full: Waitctl, other: Waitctl, tmp_path: Path) -> None:
    """The file comes in by a pipe that is not closed: what has been read is in a transaction when the kill comes."""
    lines = exported(str(full.url)).splitlines(keepends=True)
    more = [lines[WAIT].replace(b"order-1", f"order-{n}".encode()) for n in range(10)]
    other("db", "upgrade").ok()
    process = other.start("import", "-", stdin=-1)
    assert process.stdin is not None
    process.stdin.write(b"".join([*lines[:WAIT], *more]))
    process.stdin.flush()
    with closing(sqlite3.connect(tmp_path / "other.db", timeout=0, isolation_level=None)) as connection:
        while process.poll() is None:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                break  # it is inside
            connection.execute("ROLLBACK")
    process.send_signal(signal.SIGKILL)
    finish(process)
    assert other("list", "-o", "id").ok().lines == []
    (tmp_path / "a.ndjson").write_bytes(b"".join(lines))
    assert "2 waits" in other("import", "a.ndjson").ok().out


def test_one_moment_beside_ticks(run_on: Waitctl, other: Waitctl, tmp_path: Path) -> None:
    """Each file that is written while waits come and end can be imported, and holds what belongs together."""
    lines = "".join(f'{{"type": "fixed-time", "duration": "1s", "execution": "e{n}"}}\n' for n in range(600))
    run_on("create", "--file", "-", stdin=lines).ok()
    ticking = run_on.start("tick", "--watch", "--batch-size", "20", "--interval", "1s", "-q")
    found = set()
    for number in range(5):
        file = tmp_path / f"{number}.ndjson"
        found.add(run_on("export", file.name, "-o", "json").ok().json["transitions"])
        Waitctl(tmp_path, f"sqlite:///{tmp_path}/{number}.db")("import", file.name).ok()
        with closing(sqlite3.connect(tmp_path / f"{number}.db")) as connection:
            ended, audited = "resolved_at IS NOT NULL", "to_status = 'resumed'"
            counts = [
                connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone()
                for table, condition in (("workflow_wait_executions", ended), ("workflow_wait_transitions", audited))
            ]
        assert counts[0] == counts[1]
    ticking.send_signal(signal.SIGTERM)
    finish(ticking)
