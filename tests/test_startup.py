"""Start-up is a feature: a script starts waitctl once an event, so nothing loads that the command does not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.fork_server import LATE
from waitctl import Database, WaitSchedulingService, WaitSpec
from waitctl.cli.app import COMMANDS

FORBIDDEN = {"alembic", "holidays", "psycopg", "pydantic", "pydantic_core", "rich", "sqlalchemy"}

THE_HOSTS = ("_", "coverage", "sitecustomize", "usercustomize")
"""What Python itself loads where a host has it, and what counts lines."""

COMMANDS_OF_SCRIPTS = (
    "create fixed-time 3d -e order-17 -s wait -c ada --context {} -o id",
    "event record email_open --contact ada --data {} -o id",
    "tick",
    "status -e order-17 -s wait -o json",
    "list -o json",
    "pending -o json",
    "pending",
)
"""What a shell script or cron starts again and again, one after the other."""

MAY_LOAD = {"annotated_doc", "shellingham", "typer", "uuid_utils", "waitctl"}
"""Packages: the first three are Typer's own, and its needs."""

MAY_NOT_LOAD = {
    "waitctl.application.recurrences",
    "waitctl.cli.create_file",
    "waitctl.domain.recurrence",
    "waitctl.infrastructure.file_settings",
}
"""Modules of ours that none of them needs."""

NOR_MAY = {
    "create": {
        "waitctl.application.waits.scheduling",
        "waitctl.domain.filters",
        "waitctl.infrastructure.store.overview",
    },
    "event": {
        "waitctl.application.contacts",
        "waitctl.application.documents",
        "waitctl.cli.ingest",
        "waitctl.cli.listing",
        "waitctl.domain.intents",
        "waitctl.domain.listeners",
        "waitctl.domain.waits",
    },
    "tick": {
        "waitctl.application.deliveries.dispatcher",
        "waitctl.application.processor.phases",
        "waitctl.domain.analytics",
        "waitctl.domain.intents",
        "waitctl.domain.listeners",
        "waitctl.domain.plans",
        "waitctl.domain.waits",
        "waitctl.infrastructure.store.correlation",
        "waitctl.infrastructure.store.due",
    },
}
"""Modules of ours that one of them needs when there is something to do for it, or for another command beside it."""

MAY_NOT_LOAD_ON_SQLITE = MAY_NOT_LOAD | {
    "concurrent.futures",
    "email",
    "importlib.metadata",
    "platformdirs",
    "random",
    "tempfile",
    "zoneinfo",
}
"""And those of the standard library that cost a millisecond or more; psycopg loads some of them."""

MAY_LOAD_ON_POSTGRESQL = MAY_LOAD | {"cython_runtime", "psycopg", "psycopg_binary", "typing_extensions"}

CREATE_BY_SERVICE = """
from waitctl import WaitSpec, WaitSchedulingService
created = WaitSchedulingService(url).create_fixed_time_wait("3d", WaitSpec("order-17", handler="nudge"))
assert created.created
"""

CREATE_BY_COMMAND = """
from waitctl.cli.app import run
assert run(["--database-url", url, "create", "fixed-time", "3d"]) == 0
"""

HELP = """
from waitctl.cli.app import run
assert run(["--help"]) == 0
"""


def loaded_by(program: str, url: str) -> set[str]:
    """The modules that a program has loaded at its end, in a process of its own."""
    script = (
        f"import sys\nurl = {url!r}\n{program}\nsys.stdout.flush()\nprint('', *sys.modules, sep='\\n', file=sys.stderr)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE"))}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.split())


@pytest.fixture
def existing_url(sqlite_url: str) -> str:
    """An SQLite database that is migrated already, as every time but the first."""
    with Database(sqlite_url) as database:
        database.upgrade()
    return sqlite_url


RUN = """
from waitctl.cli.app import run
assert run({arguments!r}) == 0
"""


def test_what_scripts_start_loads_the_packages_that_are_named_here_and_no_other(url: str) -> None:
    with Database(url) as database:
        database.upgrade()
    on_sqlite = url.startswith("sqlite")
    may_load = MAY_LOAD if on_sqlite else MAY_LOAD_ON_POSTGRESQL
    may_not_load = MAY_NOT_LOAD_ON_SQLITE if on_sqlite else MAY_NOT_LOAD
    for command in COMMANDS_OF_SCRIPTS:
        loaded = loaded_by(RUN.format(arguments=["--database-url", url, *command.split()]), url)
        packages = {name.partition(".")[0] for name in loaded}
        found = {name for name in packages - sys.stdlib_module_names if not name.startswith(THE_HOSTS)}
        assert found - may_load == set(), command
        assert loaded & (may_not_load | NOR_MAY.get(command.split()[0], set())) == set(), command


def test_creating_a_wait_on_sqlite_loads_no_more_than_it_needs(existing_url: str) -> None:
    loaded = loaded_by(CREATE_BY_SERVICE, existing_url)

    assert "sqlite3" in loaded
    assert not loaded & FORBIDDEN


def test_the_create_command_on_sqlite_loads_no_more_than_it_needs(existing_url: str) -> None:
    loaded = loaded_by(CREATE_BY_COMMAND, existing_url)

    assert "sqlite3" in loaded
    assert not loaded & FORBIDDEN


def test_help_loads_no_database_library(existing_url: str) -> None:
    loaded = loaded_by(HELP, existing_url)

    assert "waitctl.cli.app" in loaded
    assert not loaded & (FORBIDDEN - {"pydantic", "pydantic_core", "rich"} | {"sqlite3", "whenever"})


def test_a_tick_loads_the_handlers_that_it_uses(existing_url: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[handlers.hook]\nwebhook = "https://127.0.0.1:9/"\nsecret_env = "S"\ntimeout = "1s"')
    tick = f"""
import os
from waitctl.cli.app import run
os.environ["S"] = "whsec_c2VjcmV0"
assert run(["--database-url", url, "--config", {str(config)!r}, "tick"]) == 0
"""
    web = {"http.client", "standardwebhooks"}
    assert not loaded_by(tick, existing_url) & web

    with Database(existing_url) as database:
        service = WaitSchedulingService(database)
        wait = service.create_fixed_time_wait("3d", WaitSpec("order-17", handler="hook")).wait
        service.resume_wait(wait.id)
    assert web <= loaded_by(tick, existing_url)


EACH_ALONE = """
import os
from importlib import import_module
for name in libraries:
    import_module(name)
for name in modules:
    if os.fork() == 0:
        import_module(name)
        os._exit(0)
    assert os.wait()[1] == 0, name
"""


def test_the_module_of_any_command_can_be_the_first() -> None:
    """Most tests run commands where all of waitctl is imported: here each has but what it imports itself."""
    modules = sorted({f"waitctl.cli.{module}" for module, _ in COMMANDS.values()})
    program = f"libraries = {LATE!r}\nmodules = {modules!r}\n{EACH_ALONE}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
