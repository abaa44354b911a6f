"""A database that is away, silent or held: every wait for it ends, by the own deadline or by a signal."""

from __future__ import annotations

import fcntl
import json
import signal
import sqlite3
import subprocess
import sys
import termios
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.chaos.proxy import Proxy, before
from tests.chaos.stage import Stage
from tests.chaos.stops import ready_socket
from tests.cli.processes import COMMAND, SMALL_PIPE, Waitctl, finish, interrupt
from tests.interleaving import until
from tests.service.test_await import listeners

RESIDENT = ("tick", "--watch", "--interval", "1s", "-o", "json")


@pytest.fixture
def behind(postgres_url: str, tmp_path: Path) -> Iterator[tuple[Proxy, Waitctl]]:
    """A network that can fall silent, and the command behind it."""
    proxy, url = before(postgres_url)
    with proxy:
        yield proxy, Waitctl(tmp_path, url)


@pytest.fixture
def held(postgres_url: str) -> Iterator[psycopg.Connection]:
    """Somebody who holds the waits, and whom we can ask who is inside a statement."""
    plain = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        connection.execute("LOCK TABLE workflow_wait_executions IN ACCESS EXCLUSIVE MODE")
        yield connection


def blocked(url: str, number: int = 1) -> Callable[[], bool]:
    """Asks whether so many wait for a lock."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)

    def ask() -> bool:
        with psycopg.connect(plain) as look:
            query = "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE NOT granted AND datname = %s"
            found = look.execute(query, (make_url(url).database,)).fetchone()
        return found == (number,)

    return ask


def test_who_awaits_behind_a_silent_network_ends_in_time(behind: tuple[Proxy, Waitctl], postgres_url: str) -> None:
    """With what was last seen."""
    proxy, run = behind
    wait = run("create", "fixed-time", "1h", "-o", "id").ok().out.strip()
    process = run.start("await", wait, "--timeout", "6s", "-o", "json")
    until(lambda: listeners(postgres_url), "who awaits")
    proxy.silent.set()
    finished = finish(process)
    assert (finished.code, finished.json["id"], finished.json["status"]) == (6, wait, "scheduled")
    assert (
        finished.err.splitlines()[-1]
        == '{"error": {"code": "timed_out", "message": "timed out after 6s", "hint": null}}'
    )


def test_who_awaits_a_database_that_never_answers(behind: tuple[Proxy, Waitctl]) -> None:
    proxy, run = behind
    wait = run("create", "fixed-time", "1h", "-o", "id").ok().out.strip()
    proxy.silent.set()
    assert finish(run.start("await", wait, "--timeout", "1s")).error(5).startswith("cannot reach")


def test_a_tick_keeps_to_its_budget_while_others_hold_the_table(
    held: psycopg.Connection, postgres_url: str, tmp_path: Path
) -> None:
    finished = finish(Waitctl(tmp_path, postgres_url).start("tick", "--time-budget", "1s"))
    assert "no answer for" in finished.error(5)
    assert not blocked(postgres_url)(), "what nobody waits for goes on"


def test_the_same_of_a_file(run: Waitctl) -> None:
    """Who has no budget is more patient."""
    with closing(sqlite3.connect(run.folder / "waits.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        patient = run.start("create", "fixed-time", "1h")
        assert "locked" in finish(run.start("tick", "--time-budget", "1s")).error(5)
        assert patient.poll() is None
        other.execute("ROLLBACK")
    finish(patient).ok()


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "refusing"])
def test_a_watch_whose_database_is_away_reports_when_it_is_told_to_stop(
    behind: tuple[Proxy, Waitctl], tmp_path: Path, silent: bool
) -> None:
    proxy, run = behind
    run("create", "fixed-time", "1s", "--from", "2026-01-01T00:00:00Z").ok()
    with ready_socket(Stage(tmp_path, 0)) as (address, said):
        process = run.start(*RESIDENT, env={"NOTIFY_SOCKET": address})
        until(lambda: b"READY=1" in said(), "a watch that is ready")
        if silent:
            proxy.silent.set()
        else:
            proxy.refuse()
            assert process.stderr is not None
            assert any(b"trying again" in line for line in process.stderr)  # what is next due may be said before
        finished = interrupt(process, signal.SIGTERM)
    assert (finished.code, finished.json["resumed"], finished.json["stopped"]) == (0, 1, "interrupted")


SIGNALS = (signal.SIGTERM, signal.SIGINT)

FINISHES_ITS_BATCH = [["tick"], ["event", "ingest"], ["create", "--file"]]
"""Seconds long, if it can: so the two signals go to two of them at once."""

ENDS_AT_ONCE = [
    ["create", "fixed-time", "1h"],
    ["await", "0123456789", "--timeout", "1h"],
    ["list"],
    ["prune", "--older-than", "1d"],
    ["bulk", "cancel", "--all"],
    ["pending"],
    ["metrics"],
    ["export", "-"],
    ["simulate", "--until", "1d"],
    ["event", "list"],
]


@pytest.mark.parametrize(
    ("command", "numbers"),
    [
        *((command, SIGNALS) for command in FINISHES_ITS_BATCH),
        *((command, (number,)) for command in ENDS_AT_ONCE for number in SIGNALS),
    ],
    ids=lambda given: " ".join(map(str, given)),
)
def test_a_signal_ends_whatever_is_inside_a_statement(
    held: psycopg.Connection, postgres_url: str, tmp_path: Path, command: list[str], numbers: tuple[signal.Signals, ...]
) -> None:
    """The server holds it for ever, and the signal finds it waiting."""
    held.execute("LOCK TABLE workflow_events IN ACCESS EXCLUSIVE MODE")
    lines = tmp_path / "lines"
    lines.write_text(json.dumps({"type": "sms_reply", "contact": "ada", "id": "1"}))
    if command[0] == "create" and "--file" in command:
        lines.write_text(json.dumps({"type": "fixed-time", "duration": "1h"}))
    given = [str(lines)] if command[-1] in {"ingest", "--file"} else []
    run = Waitctl(tmp_path, postgres_url)
    processes = {number: run.start(*command, *given) for number in numbers}
    until(blocked(postgres_url, len(processes)), "statements that wait")
    for number, process in processes.items():
        process.send_signal(number)
    for process in processes.values():
        finished = finish(process)
        assert finished.code in {5, 130, -signal.SIGTERM}
        assert "bug" not in finished.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ["waits.ndjson", "waits.ndjson.gz"])
def test_an_export_that_is_ended_leaves_nothing(
    postgres_url: str, tmp_path: Path, name: str, number: signal.Signals
) -> None:
    """It has written the waits, and waits for what comes behind them."""
    run = Waitctl(tmp_path, postgres_url)
    run("create", "fixed-time", "1h").ok()
    plain = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    there = set(tmp_path.iterdir())
    with psycopg.connect(plain) as connection:
        connection.execute("LOCK TABLE workflow_wait_transitions IN ACCESS EXCLUSIVE MODE")
        process = run.start("export", name)
        until(blocked(postgres_url), "an export that waits")
        assert set(tmp_path.iterdir()) > there
        process.send_signal(number)
        assert finish(process).error(130) == "interrupted"
    assert set(tmp_path.iterdir()) == there


@pytest.mark.parametrize("command", [["export", "waits.ndjson"], ["db", "backup", "copy.db"]])
def test_what_copies_a_file_and_is_ended_leaves_all_or_nothing(
    run: Waitctl, tmp_path: Path, command: list[str]
) -> None:
    line = {"type": "fixed-time", "duration": "1d", "context": {"filler": "x" * 4000}}
    lines = "".join(json.dumps(line | {"execution": f"e{number}"}) + "\n" for number in range(4000))
    run("create", "--file", "-", stdin=lines).ok()
    process = run.start(*command)
    until(lambda: any(tmp_path.glob(f".{command[-1]}.*")), "a file that is being written")
    process.send_signal(signal.SIGTERM)
    finished = finish(process)
    assert finished.code in {0, 130}, finished
    assert [*tmp_path.glob(f".{command[-1]}.*")] == []
    assert (tmp_path / command[-1]).exists() is (finished.code == 0)


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "on_stderr"),
    [
        (["tick", "--dry-run", "-o", "json"], False),
        (["list", "-o", "ndjson"], False),
        (["export", "-"], False),
        (["event", "ingest", "bad"], True),
        (["create", "--file", "bad"], True),
    ],
    ids=["tick", "list", "export", "ingest", "create"],
)
def test_a_signal_ends_what_nobody_reads(run: Waitctl, command: list[str], on_stderr: bool) -> None:
    """Its pipe is full, and stays so."""
    line = {"type": "fixed-time", "duration": "1h", "from": "2026-01-01T00:00:00Z", "context": {"filler": "x" * 400}}
    run("create", "--file", "-", "-q", stdin=f"{json.dumps(line)}\n" * 200).ok()
    (run.folder / "bad").write_text("no line of ours\n" * 2000)

    def is_full(process: subprocess.Popen[bytes]) -> bool:
        stream = process.stderr if on_stderr else process.stdout
        assert stream is not None
        held = array("i", [0])
        fcntl.ioctl(stream, termios.FIONREAD, held)
        return held[0] > SMALL_PIPE // 2  # a line that does not fit waits

    processes = {number: run.start(*command) for number in SIGNALS}
    for number, process in processes.items():
        until(partial(is_full, process), "a full pipe")
        assert process.poll() is None
        process.send_signal(number)
    for number, process in processes.items():
        process.wait(60)
        finish(process)
        assert process.returncode in {130, -number, -signal.SIGALRM}


def test_ctrl_c_behind_a_silent_network(
    behind: tuple[Proxy, Waitctl], held: psycopg.Connection, postgres_url: str
) -> None:
    proxy, run = behind
    process = run.start("list")
    until(blocked(postgres_url), "a statement that waits")
    proxy.silent.set()
    assert interrupt(process).error(130) == "interrupted"


MANY_FILES = """
import os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
for _ in range(1100):
    os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
os.execv(sys.executable, sys.argv[1:])
"""


@pytest.mark.parametrize(
    "command", [("event", "ingest"), ("tick", "--watch", "-q"), ("await", "{wait}", "--timeout", "1s")]
)
def test_more_files_open_than_select_takes(run_on: Waitctl, command: tuple[str, ...]) -> None:
    wait = run_on("create", "fixed-time", "1h", "-o", "id").ok().out.strip()
    process = subprocess.Popen(
        [sys.executable, "-c", MANY_FILES, *COMMAND, *(word.format(wait=wait) for word in command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=run_on.environment({}),
        cwd=run_on.folder,
    )
    if command[0] == "tick":
        until(lambda: run_on("pending", "-o", "json").json["last_tick"], "its first round")
        process.send_signal(signal.SIGTERM)
    finished = finish(process, b"")
    assert finished.code == (6 if command[0] == "await" else 0), finished
