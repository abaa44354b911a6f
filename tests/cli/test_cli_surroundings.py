"""What surrounds a command can be broken: databases, streams, the disk, a hand on Ctrl-C."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.chaos.proxy import before
from tests.cli.processes import SMALL_PIPE, Waitctl, finish, interrupt
from waitctl.infrastructure.schema_version import HEAD, VERSION_TABLE

TIME = ("create", "fixed-time", "1h")


@pytest.mark.parametrize(
    "command", [["pending"], ["tick"], ["list"], ["upcoming"], ["cancel", "-e", "e"], ["db", "current"]]
)
def test_a_missing_file_is_made_by_nothing_that_reads(nowhere: Waitctl, command: list[str]) -> None:
    assert nowhere(*command).error(5) == f"no database at {nowhere.folder / 'waits.db'}"
    assert not list(nowhere.folder.glob("*.db*"))


@pytest.mark.parametrize(
    "command", [[*TIME], ["event", "record", "sms_reply", "-c", "a"], ["event", "ingest"], ["db", "upgrade"]]
)
def test_what_makes_a_missing_file(nowhere: Waitctl, command: list[str]) -> None:
    nowhere(*command).ok()
    assert nowhere("pending", "-o", "json").ok().json["open"] == (command == [*TIME])


@pytest.mark.parametrize("command", [["pending"], ["tick"], [*TIME], ["event", "ingest"]])
def test_a_server_that_does_not_answer(tmp_path: Path, command: list[str]) -> None:
    run = Waitctl(tmp_path, "postgresql://ada:secret@127.0.0.1:1/none")
    finished = run(*command, "-o", "json", stdin=b'{"type": "sms_reply", "contact": "a"}')
    error = finished.json_error(5)
    assert error["code"] == "database_unreachable"
    assert "secret" not in finished.err


UNREADABLE: dict[str, str] = {"client_encoding": "LATIN1", "DateStyle": "German", "standard_conforming_strings": "off"}


@pytest.mark.parametrize("how", ["environment", "database"])
def test_settings_of_a_session_are_our_own(postgres_url: str, tmp_path: Path, how: str) -> None:
    """What the environment, the role or the database say of encodings and dates makes nothing unreadable."""
    run = Waitctl(tmp_path, postgres_url)
    env: dict[str, str | None] = {"PGCLIENTENCODING": "EUC_TW", "PGDATESTYLE": "German"}
    if how == "database":
        env = {}
        url = make_url(postgres_url)
        with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
            for name, value in UNREADABLE.items():
                connection.execute(f"ALTER DATABASE {url.database} SET {name} = '{value}'".encode())
    wait = (
        run("create", "fixed-time", "1s", "-e", "w€\\", "--from", "2026-01-01T00:00:00Z", "-o", "id", env=env).ok().out
    )
    run("event", "record", "sms_reply", "-c", "€@example.org", env=env).ok()
    assert run("tick", "-o", "json", env=env).ok().json["resumed"] == 1
    found = run("status", wait.strip(), "-o", "json", env=env).ok().json
    assert (found["workflow_execution_id"], found["scheduled_at"]) == ("w€\\", "2026-01-01T00:00:01Z")
    for command in (("list",), ("event", "list"), ("doctor",), ("check",), ("pending",), ("upcoming",), ("analytics",)):
        assert "bug" not in run(*command, env=env).err


def test_a_database_that_is_a_folder(tmp_path: Path) -> None:
    run = Waitctl(tmp_path, "sqlite:////")
    for command in (("list",), ("tick",), TIME):
        assert run(*command).error(2) == "/ is a folder, no file"


def test_a_read_only_database(run: Waitctl) -> None:
    path = run.folder / "waits.db"
    run.url = f"sqlite:///file:{path}?mode=ro&uri=true"
    assert run(*TIME, "-o", "json").json_error(5)["code"] == "database_read_only"
    assert run("tick", "-o", "json").json_error(5)["code"] == "database_read_only"
    assert run("pending", "-o", "json").ok().json["open"] == 0


def test_a_read_only_postgresql(postgres_url: str, tmp_path: Path) -> None:
    run = Waitctl(
        tmp_path, f"{postgres_url}{'&' if '?' in postgres_url else '?'}options=-cdefault_transaction_read_only%3Don"
    )
    assert run(*TIME, "-o", "json").json_error(5)["code"] == "database_read_only"


def test_a_newer_schema(run: Waitctl) -> None:
    with sqlite3.connect(run.folder / "waits.db") as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    connection.close()
    for command in (["pending"], [*TIME], ["db", "upgrade"], ["db", "check"]):
        assert "9999" in run(*command).error(5)


def test_what_is_no_database(nowhere: Waitctl) -> None:
    path = nowhere.folder / "waits.db"
    path.write_text("These are the waits of my life. " * 200)
    before = path.read_bytes()
    for command in (["pending"], [*TIME], ["tick"]):
        assert "is not a database" in nowhere(*command).error(5)
    assert path.read_bytes() == before


def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = Waitctl(tmp_path, f"sqlite:///{tmp_path}/file/waits.db")(*TIME, "-o", "json").json_error(5)
    assert error["code"] == "database_unreachable"
    assert (
        Waitctl(tmp_path, f"sqlite:///{tmp_path}")(*TIME, "-o", "json").json_error(5)["code"] == "database_unreachable"
    )


def test_postgresql_is_migrated_by_hand_alone(postgres_url: str, tmp_path: Path) -> None:
    import psycopg

    run = Waitctl(tmp_path, postgres_url.replace("postgresql+psycopg:", "postgresql:"))
    with psycopg.connect(run.url or "", autocommit=True) as connection:
        connection.execute(f"DELETE FROM {VERSION_TABLE}".encode())
    for command in (["pending"], [*TIME], ["tick"], ["db", "check"]):
        finished = run(*command)
        finished.error(5)
        assert finished.err.splitlines()[1] == "hint: run: waitctl db upgrade"


# -- streams -----------------------------------------------------------------------------------------------------------


def test_a_closed_standard_input(run: Waitctl) -> None:
    closed = 'exec "$@" <&-'
    run(*TIME, shell=closed).ok()
    assert "standard input is closed" in run(*TIME, "--context", "-", shell=closed).error(2)
    assert "standard input is closed" in run("event", "ingest", shell=closed).error(2)


def test_a_closed_standard_output_loses_nothing(run: Waitctl) -> None:
    finished = run(*TIME, shell='exec "$@" >&-')
    assert (finished.code, finished.err) == (0, "")
    assert run("pending", "-o", "json").ok().json["open"] == 1


def test_a_closed_standard_error_puts_no_words_among_the_data(run: Waitctl) -> None:
    finished = run("event", "ingest", "-o", "json", stdin=b"no event\n", shell='exec "$@" 2>&-')
    assert (finished.code, finished.json["rejected"]) == (1, 1)
    assert run("status", "01900000", shell='exec "$@" 2>&-').out == ""


def test_a_full_standard_output(run: Waitctl) -> None:
    with Path("/dev/full").open("w") as full:
        finished = run(*TIME, stdout=full)
    assert finished.error(1) == "No space left on device"


def test_a_reader_that_has_had_enough(run: Waitctl) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as nobody:
        finished = run(*TIME, stdout=nobody)
    assert (finished.code, finished.err) == (1, "")


def test_a_disk_without_room(run: Waitctl) -> None:
    kept = run(*TIME, "-o", "id").ok().out.strip()
    context = json.dumps({"a": "x" * 200_000})
    # No file may grow past 64 KiB or so: what a quota does, as a disk that is full.
    # Not measured: the file that coverage would write may not grow, either.
    unmeasured = {"COVERAGE_PROCESS_CONFIG": None, "COVERAGE_PROCESS_START": None}
    finished = run(
        *TIME, "--context", "-", "-o", "json", stdin=context, shell='ulimit -f 128; exec "$@"', env=unmeasured
    )
    assert finished.json_error(5)["code"] in {"database_full", "database_unreachable"}
    assert run("list", "-o", "id").ok().lines == [kept]


def test_ctrl_c_while_a_command_waits_for_its_input(run: Waitctl) -> None:
    process = run.start(*TIME, "--context", "-", "-o", "json", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b" " * 2 * SMALL_PIPE)  # once it is written, the command is reading
    process.stdin.flush()
    finished = interrupt(process)
    assert finished.json_error(130)["code"] == "interrupted"
    assert run("list", "-o", "id").ok().lines == []


INTERRUPTED_IMPORT = """
import builtins, os, signal, sys
load, module, dropped = builtins.__import__, sys.argv.pop(1), sys.argv.pop(1) == "dropped"
class Interrupting:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
def interrupted(name, *rest, **named):
    if name == module and dropped:
        Interrupting()
    elif name == module:
        os.kill(os.getpid(), signal.SIGINT)
    return load(name, *rest, **named)
builtins.__import__ = interrupted
from waitctl.__main__ import main
main()
"""


@pytest.mark.parametrize("dropped", ["plain", "dropped"])
@pytest.mark.parametrize("module", ["typer", "waitctl.infrastructure.database"])
def test_ctrl_c_while_a_command_is_loading(run: Waitctl, module: str, dropped: str) -> None:
    """Most of a short run is imports. What a destructor raises, Python drops."""
    command = [sys.executable, "-c", INTERRUPTED_IMPORT, module, dropped, "event", "ingest"]
    with subprocess.Popen(
        command, env=run.environment({}), cwd=run.folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert process.stderr.read() == "error: interrupted\n"


INTERRUPTED_TEXT = """
import os, signal, sys
wanted, executed = int(sys.argv.pop(1)), 0
def interrupted(event, args):
    global executed
    if event == "exec" and args[0].co_filename == "<string>":
        executed += 1
        if executed == wanted:
            os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(interrupted)
from waitctl.__main__ import main
try:
    main()
finally:
    print(executed)
"""


def test_ctrl_c_while_a_text_is_executed(run: Waitctl) -> None:
    """As for a named tuple or a dataclass: a module's main program would end by the signal whatever we exit with."""
    (run.folder / "interrupted.py").write_text(INTERRUPTED_TEXT)

    def interrupt_at(place: int) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "interrupted", str(place), "export", f"waits-{place}.ndjson"]
        done = subprocess.run(
            command, env=run.environment({}), cwd=run.folder, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    run(*TIME).ok()
    code, said, _ = interrupt_at(0)
    assert code == 0
    executed = int(said.split()[-1])
    for place in (1, executed // 2, executed - 1):
        assert interrupt_at(place) == (130, "", "error: interrupted\n")


# -- settings ----------------------------------------------------------------------------------------------------------


def test_which_database_is_meant(tmp_path: Path) -> None:
    run = Waitctl(tmp_path, None)

    def meant(*flags: str, **env: str) -> str:
        message = run(*flags, "pending", env=env).error(5)
        return Path(message.removeprefix("no database at ")).name

    config = tmp_path / "config.toml"
    config.write_text('database_url = "sqlite:///file.db"\n')
    home = {"XDG_DATA_HOME": str(tmp_path / "data")}
    flags = ("--config", "config.toml", "--database-url", "sqlite:///flag.db")
    assert meant(*flags, WAITCTL_DATABASE_URL="sqlite:///env.db", **home) == "flag.db"
    assert meant(*flags[:2], WAITCTL_DATABASE_URL="sqlite:///env.db", **home) == "env.db"
    assert meant(WAITCTL_CONFIG="config.toml", **home) == "file.db"
    assert meant(**home) == "waitctl.db"


def test_which_zone_is_meant(tmp_path: Path) -> None:
    run = Waitctl(tmp_path, f"sqlite:///{tmp_path}/none.db")
    (tmp_path / "config.toml").write_text('timezone = "Asia/Tokyo"\n')
    config, env = {"WAITCTL_CONFIG": "config.toml"}, {"WAITCTL_TIMEZONE": "America/New_York"}

    def zone(*flags: str, env: dict[str, str]) -> str:
        return str(run(*TIME, "--dry-run", "-o", "json", *flags, env=env).ok().json["timezone"])

    assert zone("--tz", "Europe/Berlin", env=config | env) == "Europe/Berlin"
    assert zone(env=config | env) == "America/New_York"
    assert zone(env=config) == "Asia/Tokyo"
    assert zone(env={}) == "UTC"


def test_eight_first_uses_at_once(tmp_path: Path) -> None:
    run = Waitctl(tmp_path, f"sqlite:///{tmp_path}/new/waits.db")
    started = [run.start(*TIME, "-e", f"e{n}", "-o", "id") for n in range(8)]
    made = [finish(process).ok().out.strip() for process in started]
    assert sorted(run("list", "-o", "id").ok().lines) == sorted(made)


@pytest.mark.parametrize("command", [["list"], ["tick"], ["pending"]])
def test_nothing_that_reads_moves_in_with_another_application(nowhere: Waitctl, command: list[str]) -> None:
    path = nowhere.folder / "waits.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (name)")
    assert nowhere(*command).error(5) == f"{path} has no waitctl tables: this waitctl needs {HEAD}"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("users",)]


def test_a_table_of_another_application_with_a_name_of_ours(nowhere: Waitctl) -> None:
    path = nowhere.folder / "waits.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE workflow_events (name)")
    assert "another application" in nowhere(*TIME).error(5)


@pytest.mark.parametrize("url", ["", "sqlite:///a?b.db"])
def test_urls_that_would_mean_something_else(nowhere: Waitctl, url: str) -> None:
    nowhere("--database-url", url, *TIME).error(2)
    assert not list(nowhere.folder.glob("a*"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:hush@hush@db/d",
        "postgresql://ada:hush@db:abc/d",
        "postgresql://ada:hush@[::1/d",
        "postgresql://ada:hush@db/d?bogus=1",
        "postgresql://ada:hush@h1,h2:abc/d",
        "postgresql://ada:hush@127.0.0.1:1/d?connect_timeout=hush",
    ],
)
def test_urls_that_cannot_be_read(tmp_path: Path, url: str) -> None:
    """And no traceback repeats them."""
    run = Waitctl(tmp_path, url)
    assert run("tick").error(2).startswith("the database URL is not valid")
    process = run.start("-vv", "list")
    _, told = process.communicate()
    assert process.returncode == 2
    assert not any(word in told for word in (b"hush", b"abc", b"bogus=1"))


def test_several_hosts_of_which_the_first_is_away(postgres_url: str, tmp_path: Path) -> None:
    """As libpq writes them; a handler's own command is told the same."""
    with closing(socket.create_server(("127.0.0.1", 0))) as closed:
        away = closed.getsockname()[1]
    proxy, _ = before(postgres_url)
    user = make_url(postgres_url).username
    url = f"postgresql://{user}@127.0.0.1:{away},127.0.0.1:{proxy.port}/{make_url(postgres_url).database}"
    run = Waitctl(tmp_path, f"{url}?target_session_attrs=read-write")
    told = tmp_path / "told"
    config = tmp_path / "config.toml"
    config.write_text(f"[handlers.nudge]\nexec = ['sh', '-c', 'echo \"$WAITCTL_DATABASE_URL\" > {told}']")
    with proxy:
        created = run("create", "fixed-time", "1h", "-o", "id").ok().out.strip()
        run("create", "fixed-time", "1s", "--handler", "nudge", "--from", "2026-01-01T00:00:00Z").ok()
        run("--config", str(config), "tick").ok()
        again = Waitctl(tmp_path, told.read_text().strip())
        assert created in again("list", "--status", "scheduled", "-o", "id").ok().lines
