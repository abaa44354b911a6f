"""Every command says what it is for and gives an example; shells can complete all of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup

import waitctl
from tests.cli.processes import Waitctl
from waitctl.cli.app import COMMANDS, load


def commands(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A command and all below it."""
    yield path, command
    if isinstance(command, TyperGroup):
        for name, child in command.commands.items():
            yield from commands((*path, name), child)


ALL = [found for name in COMMANDS for found in commands((name,), load(name))]
LEAVES = [(path, command) for path, command in ALL if not isinstance(command, TyperGroup)]


def first_line(command: Any) -> str:
    return inspect.cleandoc(command.help or "").partition("\n")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_they_say(name: str) -> None:
    assert COMMANDS[name][1] == first_line(load(name))


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_every_command_has_a_first_line_and_an_example(path: tuple[str, ...], command: Any) -> None:
    assert first_line(command).endswith(".")
    assert f"Example: waitctl {' '.join(path)}" in " ".join(command.help.split()).replace(
        "waitctl --database-url postgresql://waitctl@db/waitctl ", "waitctl "
    ).replace("waitctl --database-url postgresql:// ", "waitctl ")


# One process a module, and the groups: the rest is the same code.
@pytest.mark.parametrize(
    "path", [(), ("tick",), ("create",), ("create", "for-event"), ("event", "types", "add"), ("db",)]
)
def test_help_by_process(tmp_path: Path, path: tuple[str, ...]) -> None:
    text = Waitctl(tmp_path, None)(*path, "--help").ok().out
    expected = "Durable waits" if not path else first_line(dict(ALL)[path])
    assert expected in " ".join(text.replace("│", " ").split())
    assert "Example:" in text or path in {(), ("create",), ("db",)}
    if not path:
        assert all(name in text for name in COMMANDS)


def test_version(tmp_path: Path) -> None:
    assert Waitctl(tmp_path, None)("--version").ok().out == f"waitctl {waitctl.__version__}\n"


@pytest.mark.parametrize(
    ("shell", "words", "expected"),
    [
        ("bash", "waitctl de", {"delivery"}),
        ("bash", "waitctl event re", {"record"}),
        ("bash", "waitctl event types a", {"add"}),
        ("zsh", "waitctl create for", {"for-event"}),
        ("fish", "waitctl delivery ", {"list", "show", "retry", "drop"}),
    ],
)
def test_completion(tmp_path: Path, shell: str, words: str, expected: set[str]) -> None:
    env = {
        "_WAITCTL_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    out = Waitctl(tmp_path, None)(env=env).ok().out
    offered = {name for _, command in ALL if isinstance(command, TyperGroup) for name in command.commands} | set(
        COMMANDS
    )
    words_of = re.findall(r'"([^"]+)":"', out) if shell == "zsh" else out.replace("\t", " ").split()
    found = set(words_of) & offered
    assert expected <= found, out
    assert not {name for name in found - expected if not name.startswith(words.rsplit(" ", maxsplit=1)[-1])}, out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script(tmp_path: Path, shell: str) -> None:
    script = Waitctl(tmp_path, None)(env={"_WAITCTL_COMPLETE": f"source_{shell}"}).ok().out
    assert f"_WAITCTL_COMPLETE=complete_{shell}" in script
