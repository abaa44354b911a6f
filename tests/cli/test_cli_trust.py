"""Another local user tries to make a command run, a secret known or a file written, and fails.

Each for real where root runs the tests; elsewhere by what one user alone can do.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.processes import Waitctl, finish, interrupt
from tests.somebody import IS_ROOT, as_somebody, public_folder


@pytest.fixture
def home() -> Iterator[Path]:
    with public_folder() as folder:
        yield folder


@pytest.fixture
def run(home: Path, migrated_file: Path) -> Waitctl:
    """The command, on a database in a folder that everybody can enter."""
    return Waitctl(home, f"sqlite:///{shutil.copy(migrated_file, home / 'waits.db')}")


def make_inline(run: Waitctl, execution: str = "e", *argv: str) -> None:
    run("create", "fixed-time", "1h", "-e", execution, "--", *(argv or ("touch", "ran"))).ok()
    run("resume", run("status", "-e", execution, "-s", "wait", "-o", "id").ok().out.strip()).ok()


def plant(path: Path) -> None:
    """Make every waiting command one's own, as whoever may write to the file can."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "UPDATE workflow_wait_executions SET command = json_set(command, '$.argv', json('[\"touch\", \"planted\"]'))"
        )
        connection.commit()


def tick(run: Waitctl, **env: str) -> dict[str, object]:
    return dict(run("tick", "-o", "json", env=env).json)


# -- commands ----------------------------------------------------------------------------------------------------------


def test_what_was_planted_while_the_file_was_open_to_all(run: Waitctl) -> None:
    make_inline(run)
    path = run.folder / "waits.db"
    run.folder.chmod(0o777)
    path.chmod(0o666)
    as_somebody(lambda: plant(path)) if IS_ROOT else plant(path)
    for each in run.folder.glob("waits.db*"):
        each.chmod(0o600)
    run.folder.chmod(0o755)
    finished = run("tick", "-o", "json")
    assert (finished.json["delivered"], finished.json["held"]) == (0, 1)
    assert "inline command not made by this user" in finished.err
    assert not (run.folder / "planted").exists()
    (handler,) = run("delivery", "handlers", "-o", "json").json["handlers"]
    assert handler["held"] is True
    assert "not made by this user" in run("delivery", "handlers").out
    assert run("pending", "-o", "json").json["deliveries"]["held"] == 1


def test_a_log_that_a_resident_tick_left_open_to_all(run: Waitctl) -> None:
    """SQLite gives -wal and -shm the mode of the database; closing that does not close them."""
    make_inline(run)
    path = run.folder / "waits.db"
    path.chmod(0o664)
    with closing(sqlite3.connect(path)) as resident:
        resident.execute("SELECT count(*) FROM workflow_wait_executions").fetchall()
        path.chmod(0o600)
        for each in run.folder.glob("waits.db-*"):
            each.chmod(0o666)
        finished = run("tick", "-o", "json")
        assert (finished.json["delivered"], finished.json["held"]) == (0, 1)
        assert "waits.db-" in finished.err
        for each in run.folder.glob("waits.db-*"):
            each.chmod(0o600)
        assert tick(run)["delivered"] == 1


def test_a_resident_tick_looks_at_every_claim(run: Waitctl) -> None:
    (run.folder / "note.toml").write_text('[handlers.note]\nexec = ["sh", "-c", "echo done > noted"]\n')
    os.mkfifo(run.folder / "noted")
    process = run.start("tick", "--watch", "--interval", "1s", env={"WAITCTL_CONFIG": "note.toml"})
    assert process.stderr is not None
    try:
        make_inline(run, "before", "touch", "before")
        while b"delivered 1" not in (told := process.stderr.readline()):
            assert told.startswith(b"watching, next due"), told
        (run.folder / "waits.db").chmod(0o666)
        run.folder.chmod(0o777)
        run("create", "fixed-time", "1h", "-e", "after", "--", "touch", "after").error(2)
        run.folder.chmod(0o755)
        (run.folder / "waits.db").chmod(0o600)
        run("create", "fixed-time", "1h", "-e", "after", "--", "touch", "after").ok()
        run.folder.chmod(0o777)
        wait = run("list", "--execution", "after", "-o", "id").ok().out.strip()
        run("resume", wait).ok()
        noted = run("create", "fixed-time", "1h", "-e", "note", "--handler", "note", "-o", "id").ok().out.strip()
        run("resume", noted).ok()
        assert (run.folder / "noted").read_text() == "done\n"  # once the tick has claimed again
    finally:
        finished = interrupt(process)
    assert finished.code == 0
    assert (run.folder / "before").exists()
    assert not (run.folder / "after").exists()
    (sent,) = run("status", wait, "-o", "json").json["deliveries"]
    assert (sent["status"], sent["attempt"]) == ("pending", 0)


def test_links_on_the_way_are_whose_they_are(run: Waitctl, home: Path) -> None:
    """Whoever owns one may exchange it between the look and the use: it is refused, whatever it points to."""
    make_inline(run)
    if not IS_ROOT:
        return
    theirs = home / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    as_somebody(lambda: (theirs / "link").symlink_to(home))
    by_link = Waitctl(home, f"sqlite:///{theirs}/link/waits.db")
    finished = by_link("tick", "-o", "json")
    assert (finished.json["delivered"], finished.json["held"]) == (0, 1)
    assert f"{theirs} belongs to nobody" in finished.err
    (home / "own").symlink_to(home)
    assert tick(Waitctl(home, f"sqlite:///{home}/own/waits.db"))["delivered"] == 1


# -- databases ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [("pending",), ("tick",), ("create", "fixed-time", "1h"), ("db", "upgrade"), ("db", "backup", "copy.db")]
)
def test_a_database_of_somebody_else_is_not_used(run: Waitctl, home: Path, command: tuple[str, ...]) -> None:
    if not IS_ROOT:
        return
    os.chown(home / "waits.db", 65534, 65534)
    (home / "waits.db").chmod(0o666)
    finished = run(*command)
    assert finished.error(2) == f"the database is not safe: {home}/waits.db belongs to nobody"
    assert finished.err.splitlines()[1] == f"hint: chown root {home}/waits.db"
    run(*command, env={"WAITCTL_ALLOW_UNSAFE_FILES": "1"}).ok()


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_what_somebody_else_put_beside_a_database_is_not_used(run: Waitctl, home: Path, suffix: str) -> None:
    """As anybody can in /tmp, where the name is free once SQLite has tidied up."""
    if not IS_ROOT:
        return
    home.chmod(0o1777)
    beside = home / f"waits.db{suffix}"
    beside.unlink(missing_ok=True)
    as_somebody(lambda: beside.touch(0o666))
    finished = run("pending")
    assert finished.error(2) == f"the database is not safe: {beside} belongs to nobody"
    assert finished.err.splitlines()[1].startswith(f"hint: rm {beside}, unless nobody has worked with"), "not: take it"
    beside.unlink()
    run("pending").ok()


# -- the config and its secrets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '[handlers.nudge]\nexec = ["touch", "ran"]',
        '[handlers.nudge]\nwebhook = "https://example.org/"',
        '[sources.typeform]\nsecret_env = "S"',
        'database_url = "postgresql://ada:secret@db/waits"',
        "allow_inline_commands = true",
        'inline_key_file = "key"',
        'on_dead = "nudge"',
    ],
)
def test_a_config_that_others_may_write(run: Waitctl, home: Path, text: str) -> None:
    config = home / "config.toml"
    config.write_text(text)
    run("--config", str(config), "pending").ok()
    config.chmod(0o666)
    finished = run("--config", str(config), "pending")
    assert finished.error(2) == f"the config file is not safe: anybody may write to {config}"
    assert finished.err.splitlines()[1] == f"hint: chmod o-w {config}"
    assert run("--config", str(config), "pending", "-o", "json").json_error(2)["code"] == "unsafe_file"
    run("--config", str(config), "pending", env={"WAITCTL_ALLOW_UNSAFE_FILES": "1"}).ok()
    config.chmod(0o644)
    home.chmod(0o777)
    assert str(home) in run("--config", str(config), "pending").error(2)


def test_folders_that_the_first_use_makes_are_the_users_alone(run: Waitctl, home: Path) -> None:
    """With a umask of 002 the folder of the key would otherwise be refused as soon as it is made."""
    before = os.umask(0o002)
    try:
        url = f"sqlite:///{home / 'data' / 'deep' / 'waits.db'}"
        env = {"XDG_CONFIG_HOME": str(home / "settings" / "deep")}
        run("--database-url", url, "create", "fixed-time", "1h", "-e", "e", "--", "true", env=env).ok()
    finally:
        os.umask(before)
    made = [home / first / second for first in ("data", "settings") for second in ("", "deep")]
    assert {folder.stat().st_mode & 0o777 for folder in made} == {0o700}


def test_a_database_behind_a_link_to_nothing(run: Waitctl, home: Path) -> None:
    """One's own is made there, for the user alone; one of somebody else's would say where."""
    link, target = home / "link.db", home / "target.db"
    link.symlink_to(target)
    if IS_ROOT:
        os.chown(link, 65534, -1, follow_symlinks=False)
        create = ("--database-url", f"sqlite:///{link}", "create", "fixed-time", "1h", "-e", "e")
        assert run(*create).error(2) == f"the database is not safe: {link} belongs to nobody"
        assert not target.exists()
        os.chown(link, 0, -1, follow_symlinks=False)
    run("--database-url", f"sqlite:///{link}", "create", "fixed-time", "1h", "-e", "e").ok()
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_config_of_somebody_else(run: Waitctl, home: Path) -> None:
    """By WAITCTL_CONFIG, as in an environment that somebody prepared."""
    config = home / "config.toml"
    config.write_text('[handlers.nudge]\nexec = ["touch", "ran"]')
    if not IS_ROOT:
        return
    os.chown(config, 65534, -1)
    assert "belongs to nobody" in run("pending", env={"WAITCTL_CONFIG": str(config)}).error(2)


def test_a_config_of_dates_and_zones_is_harmless(run: Waitctl, home: Path) -> None:
    config = home / "config.toml"
    config.write_text('timezone = "Asia/Tokyo"\n[calendars.company]\nbase = "DE-BY"\n')
    config.chmod(0o666)
    run("--config", str(config), "pending").ok()


def test_a_config_cannot_vouch_for_itself(run: Waitctl, home: Path) -> None:
    (home / "config.toml").write_text("allow_unsafe_files = true\n")
    finished = run("--config", "config.toml", "pending")
    assert "cannot vouch for itself" in finished.error(2)
    assert finished.err.splitlines()[1] == "hint: set WAITCTL_ALLOW_UNSAFE_FILES=1 in the environment"


def test_a_secret_that_others_may_write(run: Waitctl, home: Path) -> None:
    (home / "secret").write_text("whsec_" + "c2VjcmV0" * 4)
    (home / "secret").chmod(0o666)
    (home / "headers").touch()
    (home / "config.toml").write_text(
        '[sources.hook]\nformat = "typeform"\nsecret_file = "secret"\n'
        '[handlers.post]\nwebhook = "https://127.0.0.1:9/"\nsecret_file = "secret"\n'
    )
    with_config = {"WAITCTL_CONFIG": "config.toml"}
    ingest = ("event", "ingest", "--source", "hook", "--headers-file", "headers")
    assert str(home / "secret") in run(*ingest, stdin="{}", env=with_config).error(2)
    wait = run("create", "fixed-time", "1h", "--handler", "post", "-o", "id").ok().out.strip()
    run("resume", wait).ok()
    finished = run("tick", "-o", "json", env=with_config)
    assert (finished.json["held"], finished.json["retried"]) == (1, 0)
    assert f"anybody may write to {home}/secret" in finished.err
    (home / "secret").chmod(0o640)
    assert tick(run, **with_config)["retried"] == 1


# -- the surroundings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["typer", "sqlite3", "typing", "json", "dataclasses", "sqlalchemy", "__future__"])
def test_nothing_is_imported_from_the_current_folder(run: Waitctl, home: Path, module: str) -> None:
    (home / f"{module}.py").write_text("import sys\nsys.exit('planted')\n")
    process = run.start("pending", "-o", "json")
    finished = finish(process).ok()
    assert finished.json["open"] == 0


def test_the_audit_names_whom_the_system_knows(run: Waitctl) -> None:
    wait = run("create", "fixed-time", "1h", "-o", "id", env={"USER": "ceo", "LOGNAME": "ceo"}).ok().out.strip()
    (line,) = run("history", wait, "-o", "json").ok().json
    assert line["actor"].split("@")[0] == pwd.getpwuid(os.geteuid()).pw_name


def test_a_trigger_that_somebody_left_calls_nothing_of_ours(run: Waitctl, home: Path) -> None:
    with closing(sqlite3.connect(home / "waits.db")) as connection:
        connection.execute(
            "CREATE TRIGGER hostile AFTER INSERT ON workflow_events BEGIN"
            " UPDATE workflow_wait_executions SET step_id = waitctl_distinct('{\"a\": 1}', 'a'); END"
        )
    message = run("event", "record", "sms_reply", "-c", "a").error(5)
    assert "a trigger or a view that calls functions of waitctl" in message


def test_a_trigger_that_calls_what_is_not_there(run: Waitctl, home: Path) -> None:
    with closing(sqlite3.connect(home / "waits.db")) as connection:
        connection.execute(
            "CREATE TRIGGER hostile AFTER INSERT ON workflow_events BEGIN SELECT writefile('/tmp/x', 'y'); END"
        )
    assert "a trigger or a view that calls what is not there" in run("event", "record", "sms_reply", "-c", "a").error(5)


def test_a_page_goes_through_nobody_elses_link(run: Waitctl, home: Path) -> None:
    if not IS_ROOT:
        return
    home.chmod(0o1777)
    precious, link = home / "precious", home / "page.html"
    precious.write_text("mine")
    as_somebody(lambda: link.symlink_to(precious))
    assert run("analytics", "--html", str(link)).error(2) == f"the page is not safe: {link} belongs to nobody"
    assert precious.read_text() == "mine"
    (home / "own.html").symlink_to(precious)
    assert run("analytics", "--html", str(home / "own.html")).code == 0
    assert precious.read_text() != "mine"


@pytest.mark.parametrize(
    "command",
    [
        ("event", "record", "sms_reply", "-c", "a", "--data"),
        ("resume", "0190000000000000", "--data"),
        ("create", "fixed-time", "1h", "--context"),
    ],
)
def test_what_somebody_else_has_written_names_no_file(run: Waitctl, home: Path, command: tuple[str, ...]) -> None:
    (home / "private.json").write_text('{"secret": 1}')
    *before, option = command
    for text in (f"@{home}/private.json", "-"):
        assert "is not valid JSON" in run(*before, f"{option}-raw", text, stdin='{"secret": 2}').error(2)
    assert "one of them" in run(*before, option, "{}", f"{option}-raw", "{}").error(2)


def test_raw_text_is_taken_as_it_is(run: Waitctl) -> None:
    wait = run("create", "fixed-time", "1h", "--context-raw", '{"a": "@b"}', "-o", "json").ok().json
    assert wait["context"] == {"a": "@b"}
    event = run("event", "record", "sms_reply", "-c", "a", "--data-raw", '{"a": "-"}', "-o", "id").ok().out.strip()
    assert run("event", "show", event, "-o", "json").json["data"] == {"a": "-"}
