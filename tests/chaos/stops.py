"""PostgreSQL crashes while a command is inside a statement; afterwards everything goes on, and nothing is lost."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from tests.chaos.stage import Stage, check_words, until
from tests.cli.processes import finish, interrupt
from tests.interleaving import count
from tests.invariants import invariants
from waitctl import Database
from waitctl.infrastructure.schema import events

INSIDE = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waitctl' AND state = 'active'"
    " AND wait_event_type = 'Lock'"
)


@contextmanager
def locked(connection: psycopg.Connection, table: str) -> Iterator[None]:
    """Hold a table, so that whoever needs it is inside a statement for as long as we like."""
    connection.execute("BEGIN")
    connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
    try:
        yield
    finally:
        if not connection.closed:
            connection.close()


def stops(stage: Stage) -> str:
    """Each command a few times in the full form, each time stopped where pg_stat_activity shows it."""
    url = stage.server.create("stops")
    command = stage.command(url)
    waiting = (
        command("create", "for-event", "email_open", "--contact", "never@example.org", "-o", "id").ok().out.strip()
    )
    lines = b"".join(
        json.dumps({"type": "email_open", "contact": f"c{number}@example.org", "id": f"e{number}"}).encode() + b"\n"
        for number in range(2000)
    )
    crashes = 0

    def crash(start: Callable[[], object], table: str) -> None:
        """Start a command, wait until it is inside a statement on the table, and crash the server."""
        nonlocal crashes
        with stage.server.connect("stops") as look, stage.server.connect("stops") as hold, locked(hold, table):
            start()
            until(lambda: look.execute(INSIDE).fetchone() != (0,), f"a statement that waits for {table}")
            stage.server.stop()
        stage.server.start()
        crashes += 1

    short: tuple[tuple[tuple[str, ...], str, bytes | None], ...] = (
        (("tick", "-o", "json"), "workflow_wait_executions", None),
        (("create", "fixed-time", "3d", "--key", "once"), "workflow_wait_executions", None),
        (("event", "ingest"), "workflow_events", lines),
        (("event", "record", "email_open", "--contact", "x@example.org", "--id", "r1"), "workflow_events", None),
        (("status", waiting), "workflow_wait_executions", None),
        (("pending",), "workflow_wait_executions", None),
    )
    for _ in range(stage.times(3)):
        for arguments, table, given in short:
            process = None

            def start(arguments: tuple[str, ...] = arguments, given: bytes | None = given) -> None:
                nonlocal process
                process = command.start(*arguments, stdin=-1 if given else -3)
                if given and process.stdin:
                    process.stdin.write(given)
                    process.stdin.close()
                    process.stdin = None

            crash(start, table)
            assert process is not None
            check_words(finish(process), 5)
            command(*arguments, stdin=given).ok()
        for arguments in (("tick", "--watch", "--interval", "1s", "-o", "json"), ("await", waiting)):
            with ready_socket(stage) as (address, said):
                resident = command.start(*arguments, env={"NOTIFY_SOCKET": address})
                if arguments[0] == "tick":
                    until(lambda: b"READY=1" in said(), "a resident tick that is ready")
                else:
                    until(lambda: _listens(stage), "an await that listens")
            crash(lambda: None, "workflow_wait_executions")
            assert resident.poll() is None, finish(resident)
            if arguments[0] == "tick":
                check_words(interrupt(resident), 0)
            else:
                check_words(interrupt(resident), 130)
    with Database(url) as database, database.read() as connection:
        invariants(connection)
        assert count(connection, events) == 2001
    return f"{crashes} crashes inside a statement"


def _listens(stage: Stage) -> bool:
    with stage.server.connect("stops") as look:
        found = look.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'").fetchone()
    return found != (0,)


@contextmanager
def ready_socket(stage: Stage) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Where systemd would hear from a service: the address, and what was said since one last asked."""
    address = str(stage.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.setblocking(False)

        def said() -> bytes:
            try:
                return listening.recv(4096)
            except BlockingIOError:
                return b""

        yield address, said
    (stage.folder / "notify").unlink()
