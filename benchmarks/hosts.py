"""Several ticks on one PostgreSQL, as on several hosts, against as many psql sessions with the hand-written statement.

Directly, and through pgbouncer in transaction mode where there is one.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy.engine import make_url

from benchmarks.due_postgresql import BATCH, BY_HAND, CHECK, COPIES, RESET
from benchmarks.measure import Comparison, Setting, alternate, say, seconds
from benchmarks.rows import Kind, insert_postgresql

# Says that it is there, and ticks when it is told to: what is measured is no program's start, and none's end.
CHILD = """
import sys
import waitctl.application.processor.phases  # what a tick loads when something is due
from benchmarks.due_postgresql import tick_due
tick_due(sys.argv[1])  # nothing is due: once to have all else loaded
print(flush=True)
sys.stdin.readline()
tick_due(sys.argv[1])
print(flush=True)
"""

POOLER = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
ignore_startup_parameters = extra_float_digits,options
"""

SHARES = "SELECT count(*) FROM {schema}.workflow_wait_transitions GROUP BY actor ORDER BY 1"


class Hosts:
    """One database with the same due waits again and again, for so many to resolve at once."""

    def __init__(self, setting: Setting, url: str, waits: int) -> None:
        self._psql = setting.cluster.psql
        self._program = setting.cluster.program
        self._name = url.rpartition("/")[2].partition("?")[0]
        self.url, self.waits = url, waits
        tables = "CREATE TABLE prepared (LIKE workflow_wait_executions);"
        self._psql(self._name, COPIES + tables + insert_postgresql(Kind.DUE, waits, "prepared"))

    def ticks(self, url: str, count: int) -> float:
        """Waits a second by so many ticks."""
        command = [sys.executable, "-c", CHILD, url]
        with ExitStack() as stack:
            children = [
                stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
                for _ in range(count)
            ]
            for child in children:
                assert child.stdout is not None
                child.stdout.readline()
            return self._rate("public", lambda: self._go(children))

    def _go(self, children: list[subprocess.Popen[str]]) -> None:
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        for child in children:
            assert child.stdout is not None
            if not child.stdout.readline():
                raise SystemExit("a tick failed")

    def by_hand(self, url: str, count: int) -> float:
        """Waits a second by so many psql sessions."""
        target = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        command = [self._program, "-XqAt", "-v", "ON_ERROR_STOP=1", target]
        # A few more than it takes: at the end one finds what is left locked by others.
        script = BY_HAND.format(schema="copies", batch=BATCH) * (self.waits // BATCH // count + 3)

        def work() -> None:
            with ExitStack() as stack:
                sessions = [
                    stack.enter_context(
                        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
                    )
                    for _ in range(count)
                ]
                for session in sessions:
                    assert session.stdin is not None
                    session.stdin.write(script)
                    session.stdin.close()
                if sum(abs(session.wait()) for session in sessions):
                    raise SystemExit("a psql failed")

        return self._rate("copies", work)

    def _rate(self, schema: str, work: Callable[[], object]) -> float:
        self._psql(self._name, RESET.format(schema=schema))
        rate = self.waits / seconds(work)
        done = self._psql(self._name, CHECK.format(schema=schema)).split("|")
        if set(map(int, done)) != {self.waits}:
            raise SystemExit(f"{schema}: of {self.waits} waits, resumed, audited and in the outbox are {done}")
        return rate

    def shares(self) -> str:
        """How many waits each of the last ticks has resolved."""
        return ", ".join(self._psql(self._name, SHARES.format(schema="public")).split())

    def deadlocks(self) -> int:
        """Since the beginning."""
        return int(self._psql(self._name, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))


def hosts(setting: Setting) -> list[Comparison]:
    """1, 2 and 4 ticks at once."""
    waits, pairs = (10_000, 1) if setting.quick else (100_000, 3)
    comparisons = []
    with setting.cluster.migrated("hosts") as url, ExitStack() as stack:
        race = Hosts(setting, url, waits)
        doors = {"directly": url}
        if (program := shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")) is None:
            say("hosts: no pgbouncer here")
        else:
            doors["through pgbouncer"] = stack.enter_context(_pooled(program, url, setting.folder))
        for door, door_url in doors.items():
            for count in (1, 2, 4):
                measured = alternate(
                    f"hosts {count} {door}",
                    partial(race.ticks, door_url, count),
                    partial(race.by_hand, door_url, count),
                    pairs=pairs,
                    silent=True,
                )
                say(f"hosts {count} {door}: shares of the last {race.shares()}; deadlocks {race.deadlocks()}")
                what = f"hosts: {count} ticks / psql sessions, {door}"
                comparisons.append(Comparison(what, "waits/s", *measured, at_least=0.85))
        if race.deadlocks():
            raise SystemExit(f"{race.deadlocks()} deadlocks")
    return comparisons


@contextmanager
def _pooled(program: str, url: str, folder: Path) -> Iterator[str]:
    """The same database through pgbouncer, which runs as the server's user: it will not run as root."""
    target = make_url(url)
    host = str(target.query.get("host") or target.host)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = probe.getsockname()[1]
    config = folder / "pgbouncer.ini"
    config.write_text(
        POOLER.format(host=host, port=target.port or 5432, user=target.username, listen=listen), encoding="utf-8"
    )
    folder.chmod(0o755)
    owner = Path(host).stat().st_uid if host.startswith("/") else None
    with subprocess.Popen([program, "-q", str(config)], user=owner) as pooler:
        try:
            _until_it_listens(listen)
            pooled = target.set(host="127.0.0.1", port=listen, query={})
            yield pooled.render_as_string(hide_password=False)
        finally:
            pooler.terminate()


def _until_it_listens(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("pgbouncer does not listen")
