"""`read_url`: lists and counts from a second database, which may be behind; everything else from the first one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.chaos.servers import Server
from tests.cli.processes import Waitctl
from tests.conftest import Cluster
from tests.interleaving import until
from waitctl import Database, WaitSchedulingService, WaitSpec
from waitctl.infrastructure.replicas import age_of


@pytest.fixture
def other(url: str, tmp_path: Path, migrated_file: Path, cluster: Cluster) -> Iterator[str]:
    """A second database of the same kind, with a wait that the first one has not."""
    if url.startswith("sqlite"):
        shutil.copy(migrated_file, tmp_path / "replica.db")
        second = f"sqlite:///{tmp_path / 'replica.db'}"
    else:
        second = cluster.create("waitctl_replica", url.rpartition("/")[2].partition("?")[0])
    with Database(second) as database:
        WaitSchedulingService(database).create_fixed_time_wait("3d", WaitSpec("elsewhere", "wait"))
    yield second
    if not url.startswith("sqlite"):
        cluster.drop("waitctl_replica")


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    """A server, and a standby that follows it. Root's are another user's, who may not look into pytest's folder."""
    with tempfile.TemporaryDirectory(prefix="waitctl-tests-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        primary = Server.new(folder / "primary")
        stack.callback(primary.stop)
        with Database(primary.url()) as database:
            database.upgrade()
        standby = primary.standby(folder / "standby")
        stack.callback(standby.stop)
        yield primary, standby


def executions(run: Waitctl, **env: str) -> list[str]:
    shown = run("list", "-o", "ndjson", "--fields", "workflow_execution_id", env=env).ok()
    return [line.split('"')[3] for line in shown.lines]


def test_list_and_pending_read_there_and_the_rest_here(run_on: Waitctl, other: str) -> None:
    env = {"WAITCTL_READ_URL": other}
    run_on("create", "fixed-time", "2d", "-e", "here", "-s", "wait", env=env).ok()
    run_on("create", "fixed-time", "2d", "-e", "here", "-s", "again", env=env).ok()

    assert executions(run_on, **env) == ["elsewhere"]
    assert run_on("pending", "-o", "json", env=env).ok().json["open"] == 1
    assert run_on("status", "-e", "here", "-s", "wait", "-o", "json", env=env).ok().json["step_id"] == "wait"
    assert run_on("status", "-e", "elsewhere", "-s", "wait", env=env).code == 3
    assert executions(run_on) == ["here", "here"]


def test_who_asks_is_told_where_it_was_read(run_on: Waitctl, other: str) -> None:
    said = run_on("-v", "pending", env={"WAITCTL_READ_URL": other}).err

    assert "note: read from " in said
    assert "which may be behind" in said


def test_whoever_names_another_database_reads_there_too(run_on: Waitctl, other: str) -> None:
    config = run_on.folder / "my.toml"
    config.write_text(f'database_url = "{other}"\nread_url = "{other}"\n')
    file = {"WAITCTL_CONFIG": str(config)}
    assert run_on.url is not None

    assert executions(run_on, **file) == []
    assert executions(Waitctl(run_on.folder, None), **file) == ["elsewhere"]
    flag = run_on("--database-url", run_on.url, "pending", "-o", "json", env={"WAITCTL_READ_URL": other})
    assert flag.ok().json["open"] == 0


@pytest.mark.parametrize(
    ("read_url", "code", "said"),
    [
        ("mysql://nobody:secret@db/waits", 2, "read_url: the database URL has the scheme 'mysql'"),
        ("postgresql://nobody:secret@127.0.0.1:1/waits", 5, "cannot reach postgresql://nobody:***@127.0.0.1:1/waits"),
        ("sqlite:////nowhere/waits.db", 5, "no database at /nowhere/waits.db"),
    ],
)
def test_a_read_url_that_leads_nowhere(run_on: Waitctl, read_url: str, code: int, said: str) -> None:
    """It is said; nothing else is asked instead, and what writes goes on."""
    env = {"WAITCTL_READ_URL": read_url}
    for command in ("list", "pending", "analytics"):
        finished = run_on(command, env=env)
        assert finished.error(code).startswith(said)
        assert "secret" not in finished.err
        if code == 5:
            assert "hint: it is the read_url" in finished.err
    run_on("create", "fixed-time", "2d", env=env).ok()


def test_config_says_what_is_wrong_with_it(run_on: Waitctl) -> None:
    config = run_on.folder / "my.toml"
    config.write_text('timezone = "UTC"\nread_url = "mysql://ada:hunter2@db/waits"\n')
    alone = Waitctl(run_on.folder, None)

    checked = alone("--config", str(config), "config", "check", "-o", "json")
    assert checked.code == 2
    assert [(each["key"], each["line"]) for each in checked.json["problems"]] == [("read_url", 2)]
    config.write_text('read_url = "postgresql://ada:hunter2@db/waits"\n')
    shown = alone("--config", str(config), "config", "show", "-o", "json").ok()
    assert shown.json["settings"]["read_url"] == "postgresql://ada:***@db/waits"


def test_a_standby_of_postgresql_serves_what_only_looks(pair: tuple[Server, Server], tmp_path: Path) -> None:
    primary, standby = pair
    env = {"WAITCTL_READ_URL": standby.url()}
    run = Waitctl(tmp_path, primary.url())
    run("create", "fixed-time", "2d", "-e", "here", env=env).ok()
    until(lambda: executions(run, **env) == ["here"], "the wait on the standby")

    assert run("pending", "-o", "json", env=env).ok().json["open"] == 1
    assert run("analytics", "-o", "json", env=env).ok().json["groups"] == []
    assert "a replica: as of " in run("-v", "pending", env=env).err
    with Database(standby.url()) as database:
        assert age_of(database) is not None
    refused = run("create", "fixed-time", "2d", env={"WAITCTL_DATABASE_URL": standby.url()})
    assert "read-only" in refused.error(5)


@pytest.mark.parametrize(("news", "said"), [("121 seconds", True), ("30 seconds", False), (None, False)])
def test_a_replica_without_news_for_two_minutes_is_named_unasked(
    postgres_url: str, cluster: Cluster, tmp_path: Path, news: str | None, said: bool
) -> None:
    """A database that calls itself a replica, the last transaction of which was so long ago."""
    second = cluster.create("waitctl_lagging", postgres_url.rpartition("/")[2].partition("?")[0])
    try:
        ago = "NULL::timestamptz" if news is None else f"clock_timestamp() - interval '{news}'"
        plain = make_url(second).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute("CREATE FUNCTION pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'")
            replayed = "CREATE FUNCTION pg_last_xact_replay_timestamp() RETURNS timestamptz LANGUAGE sql AS"
            connection.execute(f"{replayed} $$ SELECT {ago} $$".encode())
            connection.execute("ALTER DATABASE waitctl_lagging SET search_path = public, pg_catalog")
        run = Waitctl(tmp_path, postgres_url)
        for command in ("list", "pending", "analytics"):
            finished = run(command, "-o", "json", env={"WAITCTL_READ_URL": second})
            assert finished.code == 0
            assert ("a replica: as of 2 min" in finished.err) is said
            assert bool(finished.err) is said
    finally:
        cluster.drop("waitctl_lagging")
