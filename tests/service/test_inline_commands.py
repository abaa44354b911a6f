"""Commands that stand in the database: where they may run, and how."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.scene import Scene
from waitctl import Database, InlineCommand, Outcome, Settings, Tick, TickReport, WaitSchedulingService, WaitSpec
from waitctl.domain.errors import InlineCommandsNotAllowedError, InvalidWaitConfigurationError, WaitAlreadyOpenError
from waitctl.domain.handlers import INLINE, MAX_COMMAND
from waitctl.infrastructure.config import load_settings


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


@pytest.mark.parametrize("place", ["file", "folder"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_may_write_runs_nothing(own: Scene, tmp_path: Path, place: str, mode: int) -> None:
    own.create(command=command("touch", "ran", folder=tmp_path))
    target = tmp_path if place == "folder" else tmp_path / "waits.db"
    target.chmod(target.stat().st_mode | mode)
    assert (own.at(60).tick().held, own.tick().delivered) == (1, 0)
    with pytest.raises(InlineCommandsNotAllowedError) as caught:
        own.create(execution="f", command=command("true", folder=tmp_path))
    assert "allow_inline_commands" in (caught.value.hint or "")
    assert not (tmp_path / "ran").exists()
    assert tick(own, allow_inline_commands=True).delivered == 1
    assert (tmp_path / "ran").exists()


def test_another_users_file_runs_nothing(own: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.create(command=command("true", folder=tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    assert own.at(60).tick().held == 1


def test_on_postgresql_only_who_opts_in(postgres_scene: Scene, tmp_path: Path) -> None:
    scene = postgres_scene
    with pytest.raises(InlineCommandsNotAllowedError):
        scene.create(command=command("true", folder=tmp_path))
    with pytest.raises(InlineCommandsNotAllowedError):
        scene.create(command=command("true", folder=tmp_path), dry_run=True)
    assert scene.waits.list_waits() == ([], None)
    allowed = Settings(scene.url, allow_inline_commands=True)
    waits = WaitSchedulingService(scene.database, settings=allowed)
    made = waits.create_fixed_time_wait("1h", WaitSpec("e", command=command("touch", "ran", folder=tmp_path)))
    report = scene.at(60).tick()
    assert (report.held, report.delivered) == (1, 0)
    assert scene.waits.list_pending_waits(handlers=()).deliveries_held == 1
    assert scene.at(60 * 24 * 400).tick().dead == 0  # held for ever: some host may opt in
    assert tick(scene, allow_inline_commands=True).delivered == 1
    assert scene.get(made.wait).status == "resumed"


def test_a_row_that_somebody_wrote_runs_nothing(postgres_scene: Scene, tmp_path: Path) -> None:
    """Who can write to the database must not thereby run code."""
    wait = postgres_scene.create(handler="nudge").wait
    text = json.dumps(command("touch", "ran", folder=tmp_path).to_json())
    postgres_scene.sql(
        "UPDATE workflow_wait_executions SET handler = '--', command = CAST(:command AS jsonb)", command=text
    )
    assert postgres_scene.at(60).tick().held == 1
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
