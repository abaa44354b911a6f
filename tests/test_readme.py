"""The README cannot drift: its commands are run and their output compared, its drawing and its table are the code's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cli.processes import Waitctl
from waitctl.cli.output import ExitCode
from waitctl.domain.handlers import ExecConfig
from waitctl.domain.waits import TRANSITIONS
from waitctl.infrastructure.config import load_settings
from waitctl.infrastructure.file_trust import user_name

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MARK = "@@next@@"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def console_commands() -> list[tuple[str, str]]:
    """(command, output) of every ``console`` block, in order."""
    commands: list[tuple[list[str], list[str]]] = []
    for line in "".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            commands.append(([line[2:]], []))
        elif line.startswith("> ") and not commands[-1][1]:
            commands[-1][0].append(line[2:])
        else:
            commands[-1][1].append(line)
    return [("\n".join(command), "\n".join(output)) for command, output in commands]


def play(commands: list[str], folder: Path) -> list[str]:
    """Run the commands in one shell; return what each printed."""
    script = f"\necho {MARK}\n".join(["exec 2>&1", *commands])
    with Waitctl(folder, None).on_the_path() as environment:
        done = subprocess.run(
            ["sh"], input=script, capture_output=True, text=True, cwd=folder, env=environment, check=False
        )
    return [part.strip("\n") for part in done.stdout.split(f"{MARK}\n")[1:]]


def comparable(output: str) -> str:
    """The output without what differs every time: ids and who ran it where. Runs of blanks count as one."""
    output = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<id>", output)
    output = re.sub(r"\b[0-9a-f]{12}\b", "<tail>", output)
    output = re.sub(rf"\b{re.escape(user_name(os.geteuid()))}@", "ada@", output)
    output = re.sub(r"\b(ada|tick)@\S+", r"\1@<host>", output)
    return "\n".join(re.sub(r"\s+", " ", line).strip() for line in output.splitlines())


@pytest.mark.usefixtures("uncounted")
@pytest.mark.long  # many processes, one after the other
def test_the_tour_prints_what_the_readme_shows(tmp_path: Path) -> None:
    tour = console_commands()
    printed = play([command for command, _ in tour], tmp_path)

    assert [(command, comparable(output)) for (command, _), output in zip(tour, printed, strict=True)] == [
        (command, comparable(output)) for command, output in tour
    ]


def test_the_drawing_is_the_transition_table() -> None:
    (drawing,) = blocks("mermaid")
    drawn = {
        (None if source == "[*]" else source, target)
        for source, target in re.findall(r"^\s+(\S+) --> (\w+)", drawing, re.MULTILINE)
    }

    assert drawn == {(source, target) for source, targets in TRANSITIONS.items() for target in targets}


def test_the_exit_codes_are_the_programs() -> None:
    table = README.partition("## Exit codes")[2]

    assert [int(code) for code in re.findall(r"^\| ([0-9]+) \|", table, re.MULTILINE)] == [
        code.value for code in ExitCode
    ]


def test_the_config_examples_are_understood(tmp_path: Path) -> None:
    found = []
    for number, example in enumerate(blocks("toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(example, encoding="utf-8")
        found.append(load_settings(config=str(file), environ={}))

    handlers, dead = [settings for settings in found if settings.handlers]
    assert handlers.timezone == "Europe/Berlin"
    assert handlers.handlers["nudge"].target == ExecConfig(("/usr/local/bin/nudge.sh",))
    assert (dead.on_dead, dead.inline.timeout, dead.allow_inline_commands) == (
        "tell-ops",
        timedelta(minutes=10),
        False,
    )
    (calendars,) = [settings for settings in found if settings.calendars]
    assert calendars.calendars["company"].base == "DE-BY"


def test_the_python_example_runs(tmp_path: Path) -> None:
    (example,) = blocks("python")

    done = subprocess.run(
        [sys.executable, "-c", example],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )

    assert done.stdout == "waiting True\n"
