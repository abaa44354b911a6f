"""Commands that stand in the database: where they may run, and how."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.scene import Scene
from waitctl import Database, InlineCommand, Outcome, Settings, Tick, TickReport, WaitSchedulingService, WaitSpec
from waitctl.application.deliveries.handler_factory import make_handler
from waitctl.application.deliveries.payloads import make_payloads
from waitctl.application.documents import wait_document
from waitctl.application.inline_commands import NOT_OURS, InlineCommands
from waitctl.application.processor.run import Phase
from waitctl.domain.deliveries import Deferred, Delivered, Delivery
from waitctl.domain.errors import (
    InvalidInputError,
    InvalidWaitConfigurationError,
    UnsafeFileError,
    WaitAlreadyOpenError,
)
from waitctl.domain.handlers import INLINE, MAX_COMMAND
from waitctl.infrastructure.config import load_settings
from waitctl.infrastructure.handlers import Payload
from waitctl.infrastructure.handlers.exec import InlineHandler
from waitctl.infrastructure.inline_key import make_key, read_key


@pytest.fixture
def own(sqlite_scene: Scene, tmp_path: Path) -> Scene:
    """A database that is nobody else's to write."""
    tmp_path.chmod(0o700)
    with Database(sqlite_scene.url) as database:
        database.upgrade()
    return sqlite_scene


def command(*argv: str, folder: Path | str) -> InlineCommand:
    return InlineCommand(argv, str(folder))


def tick(scene: Scene, **settings: Any) -> TickReport:
    return Tick(scene.database, Settings(scene.url, handlers=scene.handlers, **settings)).run()


def held_because(scene: Scene) -> str:
    return Tick(scene.database, Settings(scene.url)).held_reasons()["--"]


def payloads_of(scene: Scene, wait_id: str) -> Sequence[tuple[Delivery, Payload]]:
    """The payload of a wait's delivery, as it is before it goes out."""
    scene.tick(only=frozenset({Phase.DUE}))
    deliveries = scene.get(wait_id).deliveries
    return scene.database.write(lambda connection: make_payloads(connection, deliveries, ()))


def test_it_runs_in_its_folder_with_its_arguments(own: Scene, tmp_path: Path) -> None:
    script = tmp_path / "remind.sh"
    script.write_text('#!/bin/sh\nprintf "%s|" "$@" "$WAITCTL_OUTCOME" "$PWD" > out; cat > body\n')
    script.chmod(0o755)
    argv = ("./remind.sh", "two words", "$HOME", "*", "")
    wait = own.create(command=command(*argv, folder=tmp_path)).wait
    assert (wait.handler, wait.command) == (INLINE, {"argv": list(argv), "folder": str(tmp_path)})
    assert own.at(60).tick().delivered == 1
    assert (tmp_path / "out").read_text() == f"two words|$HOME|*||due|{tmp_path}|"
    assert json.loads((tmp_path / "body").read_text())["wait"]["command"]["argv"] == list(argv)


# -- where they may stand ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["waits.db", "waits.db-wal", "waits.db-shm", "waits.db-journal", "", ".."])
def test_what_others_may_write_runs_nothing(
    sqlite_scene: Scene, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database, what SQLite keeps beside it, and every folder above them."""
    folder = tmp_path / "above" / "folder"
    folder.mkdir(parents=True)
    own = Scene(f"sqlite:///{folder / 'waits.db'}")
    own.create(command=command("touch", "ran", folder=folder))
    target = (folder / place).resolve()
    target.touch()
    was = target.stat().st_mode
    target.chmod(was | 0o002)
    assert (own.at(60).tick().held, own.tick().delivered) == (1, 0)
    assert str(target) in held_because(own)
    with pytest.raises(UnsafeFileError) as caught:
        own.create(execution="f", command=command("true", folder=folder))
    assert caught.value.hint == f"chmod o-w {target}"
    assert tick(own, allow_inline_commands=True).delivered == 0, "a config does not make a file safe"
    assert not (folder / "ran").exists()
    monkeypatch.setenv("WAITCTL_ALLOW_UNSAFE_FILES", "1")
    assert own.tick().delivered == 1
    assert (folder / "ran").exists()
    own.database.close()


def test_a_file_that_has_been_exchanged_runs_nothing(own: Scene, tmp_path: Path) -> None:
    """While a resident tick has the other one open."""
    own.create(command=command("touch", "ran", folder=tmp_path))
    (tmp_path / "waits.db").rename(tmp_path / "moved.db")
    shutil.copy(tmp_path / "moved.db", tmp_path / "waits.db")
    with pytest.raises(UnsafeFileError, match="not the one at"):
        own.database.check_private()


def test_an_sqlite_uri_is_a_file_too(own: Scene, tmp_path: Path) -> None:
    own.create(command=command("touch", "ran", folder=tmp_path))
    by_uri = Scene(f"sqlite:///file:{tmp_path}/waits.db?uri=true").at(60)
    (tmp_path / "waits.db").chmod(0o666)
    assert by_uri.tick().held == 1
    (tmp_path / "waits.db").chmod(0o600)
    assert by_uri.tick().delivered == 1
    by_uri.database.close()


def test_on_postgresql_only_who_opts_in_and_has_the_key(postgres_scene: Scene, tmp_path: Path) -> None:
    scene = postgres_scene
    key = tmp_path / "shared.key"
    key.write_text("k" * 32)
    key.chmod(0o600)
    opted_in: dict[str, Any] = {"allow_inline_commands": True, "inline_key_file": key}
    refused: Sequence[tuple[dict[str, Any], str]] = (
        ({}, "who can write to it"),
        ({"allow_inline_commands": True}, "without an inline_key_file"),
        ({"inline_key_file": key}, "who can write to it"),
        ({"allow_inline_commands": True, "inline_key_file": tmp_path / "gone"}, "there is no"),
    )
    for settings, says in refused:
        waits = WaitSchedulingService(scene.database, settings=Settings(scene.url, **settings))
        for dry_run in (True, False):
            with pytest.raises(InvalidInputError, match=says):
                waits.create_fixed_time_wait("1h", WaitSpec("e", command=command("true", folder="/")), dry_run=dry_run)
    assert scene.waits.list_waits() == ([], None)
    waits = WaitSchedulingService(scene.database, settings=Settings(scene.url, **opted_in))
    made = waits.create_fixed_time_wait("1h", WaitSpec("e", command=command("touch", "ran", folder=tmp_path)))
    report = scene.at(60).tick()
    assert (report.held, report.delivered) == (1, 0)
    assert scene.waits.list_pending_waits(handlers=()).deliveries_held == 1
    assert scene.at(60 * 24 * 400).tick().dead == 0  # held for ever: some host may opt in
    assert tick(scene, allow_inline_commands=True).held == 1
    other = tmp_path / "other.key"
    other.write_text("o" * 32)
    other.chmod(0o600)
    assert tick(scene, allow_inline_commands=True, inline_key_file=other).held == 1
    assert tick(scene, **opted_in).delivered == 1
    assert scene.get(made.wait).status == "resumed"


@pytest.mark.parametrize(("content", "mode"), [("k" * 31, 0o600), ("k" * 32, 0o644), ("k" * 32, 0o622)])
def test_keys_that_are_none(own: Scene, tmp_path: Path, content: str, mode: int) -> None:
    own.create(command=command("true", folder=tmp_path))
    key = tmp_path / "xdg_config_home" / "waitctl" / "inline.key"
    key.write_text(content)
    key.chmod(mode)
    assert own.at(60).tick().held == 1
    assert str(key) in held_because(own)
    with pytest.raises(InvalidInputError, match=re.escape(str(key))):
        own.create(execution="f", command=command("true", folder=tmp_path))


# -- whose they are ----------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_is_the_users_alone(own: Scene, tmp_path: Path) -> None:
    key = tmp_path / "xdg_config_home" / "waitctl" / "inline.key"
    own.create(command=command("true", folder=tmp_path), dry_run=True)
    assert not key.exists()
    own.create(command=command("true", folder=tmp_path))
    made = key.read_bytes()
    assert (key.stat().st_mode & 0o777, len(made)) == (0o600, 65)
    own.create(execution="f", command=command("true", folder=tmp_path))
    assert key.read_bytes() == made
    assert [each.name for each in key.parent.iterdir()] == [key.name]


def test_of_many_first_uses_one_makes_the_key(tmp_path: Path) -> None:
    path = tmp_path / "new" / "inline.key"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: make_key(path), range(32)))
    assert read_key(path) is not None
    assert [each.name for each in path.parent.iterdir()] == [path.name]


PLANTED = """
UPDATE workflow_wait_executions SET {change} WHERE workflow_execution_id = 'planted'
"""


@pytest.mark.parametrize(
    "change",
    [
        "command = json_remove(command, '$.mac')",
        "command = json_set(command, '$.mac', null)",
        "command = json_set(command, '$.mac', json('{}'))",
        "command = json_set(command, '$.mac', '" + "0" * 64 + "')",
        "command = json_set(command, '$.argv[1]', 'planted')",
        "command = json_set(command, '$.argv', json('[\"touch\", \"planted\"]'))",
        "command = json_set(command, '$.folder', '/tmp')",
        "command = (SELECT command FROM workflow_wait_executions WHERE workflow_execution_id = 'genuine')",
        "command = json_quote('touch planted')",
        "command = json_set(command, '$.argv', 'touch planted')",
        "command = json_set(command, '$.argv', json('[1]'))",
        "command = json_array('touch', 'planted')",
        "command = NULL",
    ],
)
def test_what_this_user_has_not_made_is_held(own: Scene, tmp_path: Path, change: str) -> None:
    """Written while the file was open to others, perhaps: it is closed again when the tick comes."""
    own.create(execution="planted", command=command("touch", "ran", folder=tmp_path))
    own.create(execution="genuine", command=command("touch", "genuine", folder=tmp_path))
    own.sql(PLANTED.format(change=change))
    report = own.at(60).tick()
    assert (report.delivered, report.held, report.retried, report.dead) == (1, 1, 0, 0)
    assert held_because(own) == NOT_OURS
    assert own.waits.list_pending_waits(handlers=["--"]).deliveries_held == 1
    assert (tmp_path / "genuine").exists()
    assert not (tmp_path / "ran").exists() and not (tmp_path / "planted").exists()
    (delivery,) = own.waits.get_step_status("planted", "wait").wait.deliveries
    assert (delivery.status, delivery.attempt) == ("pending", 0)
    assert own.tick(dry_run=True).ids == {
        "correlated": [], "resumed": [], "timed_out": [], "moved": [], "delivered": []
    }  # fmt: skip


def test_what_is_planted_behind_the_look_is_put_off(own: Scene, tmp_path: Path) -> None:
    """Between the look and the hand-out, too: it is verified once more, as it is handed out."""
    wait = own.create(command=command("touch", "ran", folder=tmp_path)).wait
    inline = InlineCommands(Settings(own.url), own.database)
    (pair,) = payloads_of(own.at(60), wait.id)
    payload = pair[1]
    assert inline.verifies(wait.id, payload.document["wait"]["command"], payload.signature)
    assert not inline.verifies(wait.id, payload.document["wait"]["command"], None)
    handler = make_handler(Settings(own.url).inline, Settings(own.url), own.database)
    assert isinstance(handler, InlineHandler)
    assert handler.deliver([replace(payload, signature="0" * 64)]) == [Deferred(NOT_OURS)]
    assert not (tmp_path / "ran").exists()
    assert handler.deliver([payload]) == [Delivered()]


def test_many_that_are_not_ours_stand_before_one_that_is(own: Scene, tmp_path: Path) -> None:
    for number in range(120):
        own.create(execution=f"planted-{number}", command=command("touch", "ran", folder=tmp_path))
    own.sql("UPDATE workflow_wait_executions SET command = json_remove(command, '$.mac')")
    own.create("61m", execution="ours", command=command("touch", "ours", folder=tmp_path))
    report = own.at(61).tick()
    assert (report.delivered, report.held) == (1, 120)
    assert (tmp_path / "ours").exists()


def test_the_signature_is_nobodys_business(own: Scene, tmp_path: Path) -> None:
    body = tmp_path / "body"
    wait = own.create(command=command("sh", "-c", "cat > body", folder=tmp_path)).wait
    assert "mac" in own.sql("SELECT command FROM workflow_wait_executions")[0].command
    assert own.at(60).tick().delivered == 1
    for shown in (own.get(wait).command, json.loads(body.read_text())["wait"]["command"]):
        assert shown == {"argv": ["sh", "-c", "cat > body"], "folder": str(tmp_path)}
    assert "mac" not in json.dumps(wait_document(own.get(wait)))
    assert '"mac' not in own.get(wait).fingerprint


def test_a_wait_that_is_replaced_or_moved_keeps_its_signature(own: Scene, tmp_path: Path) -> None:
    own.create(command=command("touch", "first", folder=tmp_path))
    wait = own.create(command=command("touch", "second", folder=tmp_path), replace_open=True).wait
    own.rescheduling.reschedule_wait(wait.id, by="+30m")
    assert own.at(60).tick().delivered == 0
    assert own.at(90).tick().delivered == 1
    assert (tmp_path / "second").exists() and not (tmp_path / "first").exists()


def test_a_row_that_somebody_wrote_runs_nothing(postgres_scene: Scene, tmp_path: Path) -> None:
    """Who can write to the database must not thereby run code: not even where commands are allowed."""
    key = tmp_path / "shared.key"
    key.write_text("k" * 32)
    key.chmod(0o600)
    wait = postgres_scene.create(handler="nudge").wait
    text = json.dumps(command("touch", "ran", folder=tmp_path).to_json())
    postgres_scene.sql(
        "UPDATE workflow_wait_executions SET handler = '--', command = CAST(:command AS jsonb)", command=text
    )
    assert postgres_scene.at(60).tick().held == 1
    assert tick(postgres_scene, allow_inline_commands=True, inline_key_file=key).held == 1
    assert not (tmp_path / "ran").exists()
    assert postgres_scene.get(wait).status == "resumed"


def test_a_command_for_the_rest_and_a_handler_for_one(own: Scene, tmp_path: Path) -> None:
    out = own.handle(tmp_path, "echo handled >> $OUT", name="escalate")
    both: dict[str, Any] = {
        "command": command("touch", "ran", folder=tmp_path),
        "handlers": {Outcome.TIMEOUT: "escalate"},
    }
    own.listen(execution="a", **both)
    own.record()
    assert own.tick().delivered == 1
    assert (tmp_path / "ran").exists() and not out.exists()
    own.listen(execution="b", contact="bob", **both)
    assert own.at(60).tick().delivered == 1
    assert out.read_text() == "handled\n"


def test_another_command_is_another_wait(own: Scene, tmp_path: Path) -> None:
    own.create(command=command("true", folder=tmp_path))
    assert not own.create(command=command("true", folder=tmp_path)).created
    for other in (command("false", folder=tmp_path), command("true", folder="/")):
        with pytest.raises(WaitAlreadyOpenError):
            own.create(command=other)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((), "no command"),
        (("",), "no command"),
        (("a\0b",), "NUL"),
        (("a\udcff",), "not UTF-8"),
        (("x" * (MAX_COMMAND + 1),), "longer"),
    ],
)
def test_commands_that_are_none(own: Scene, argv: tuple[str, ...], says: str) -> None:
    with pytest.raises(InvalidWaitConfigurationError, match=says):
        own.create(command=InlineCommand(argv, "/"))


def test_a_command_and_a_handler_are_one_too_many(own: Scene) -> None:
    with pytest.raises(InvalidWaitConfigurationError, match="one of them"):
        own.create(command=InlineCommand(("true",), "/"), handler="nudge")
    with pytest.raises(InvalidWaitConfigurationError, match="'--'"):
        own.create(handler=INLINE)


@pytest.mark.parametrize(
    ("argv", "folder", "says"),
    [
        (("./missing",), "", "No such file"),
        (("./data",), "", "Permission denied"),
        (("true",), "gone", "No such file"),
    ],
)
def test_commands_that_cannot_run(own: Scene, tmp_path: Path, argv: tuple[str, ...], folder: str, says: str) -> None:
    (tmp_path / "data").write_text("no program")
    wait = own.create(command=command(*argv, folder=tmp_path / folder)).wait
    assert own.at(60).tick().retried == 1
    (delivery,) = own.get(wait).deliveries
    assert says in (delivery.last_error or "") and str(tmp_path / folder) in (delivery.last_error or "")


def test_how_they_run_is_configured_without_a_program(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('allow_inline_commands = true\n[handlers.--]\ntimeout = "2m"\nmax_attempts = 3\n')
    settings = load_settings(config=str(config), environ={})
    assert settings.allow_inline_commands and settings.handlers == {}
    assert settings.inline.timeout.total_seconds() == 120 and settings.inline.retry.max_attempts == 3
    config.write_text("[handlers.--]\nmax_attempts = 3\n")
    assert load_settings(config=str(config), environ={}).inline.timeout.total_seconds() == 3600


def test_their_settings_count(own: Scene, tmp_path: Path) -> None:
    own.create(command=command("false", folder=tmp_path))
    settings = Settings(own.url)
    once = replace(settings.inline, retry=replace(settings.inline.retry, max_attempts=1))
    own.at(60)
    assert tick(own, inline=once).dead == 1
