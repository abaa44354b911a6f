"""What to say of a command line that is not understood, and where what was meant belongs. Loaded for errors only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import typer

from waitctl.domain.errors import InvalidWaitDurationError, InvalidWaitTimeError

_OF_ROOT = ("--database-url", "--config", "-v", "-vv", "--verbose", "--version")
"""Options that go before the command."""

_ELSEWHERE = {
    "add": "create",
    "cron": "init --cron",
    "delete": "cancel",
    "describe": "status",
    "get": "list",
    "kill": "cancel",
    "log": "history",
    "logs": "history",
    "ls": "list",
    "migrate": "db upgrade",
    "new": "create",
    "ps": "list",
    "rm": "cancel",
    "run": "tick",
    "schedule": "create",
    "show": "status",
    "start": "tick --watch",
    "stop": "cancel",
    "version": "--version",
    "wait": "await",
    "watch": "tick --watch",
}
"""What other programs call it."""


def explain_usage(error: typer.TyperException, arguments: Sequence[str]) -> tuple[str, str, str | None]:
    """The error of a command line in our words where Typer's would not help: its code, message and hint."""
    message = error.format_message().replace("Value error, ", "")
    message = re.sub(r"://.*", "://…", message)  # a URL that stands in the wrong place, and may hold a password
    creating = "create" in arguments
    signed = [argument for argument in arguments if re.match(r"-[0-9]", argument)]
    if creating and "No such option" in message and signed:
        timed = "until-time" in arguments
        code = InvalidWaitTimeError.code if timed else InvalidWaitDurationError.code
        return code, f"a {'time of day' if timed else 'duration'} has no sign: {signed[0]!a}", None
    if creating and "unexpected extra argument" in message:
        return "usage", message, "quote what has spaces, as in '3 days'; a command to run goes behind --"
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "waitctl"
    hint = _other_place(message, context, path, arguments) or f"{path} --help says more"
    near = _nearest_choice(message)
    return "usage", message, f"did you mean {near}?" if near else hint


def _other_place(message: str, context: Any, path: str, arguments: Sequence[str]) -> str | None:
    """Where an option or a command that is unknown here is known."""
    at_root = context is not None and context.parent is None
    if found := re.search(r"No such option: (-\S+)", message):
        option = found[1]
        if not at_root and option in _OF_ROOT:
            return f"it goes before the command: waitctl {option} {path.removeprefix('waitctl ')}"
        command = next((each for each in arguments if not each.startswith("-") and each in _commands()), None)
        if at_root and command is not None:
            return f"an option of a command goes behind it: waitctl {command} … {option}"
    if (found := re.search(r"No such command '([^']+)'", message)) and at_root:
        return _by_another_name(found[1])
    return None


def _by_another_name(name: str) -> str | None:
    """The command that somebody means who calls it so."""
    if name in _ELSEWHERE:
        return f"it is called: waitctl {_ELSEWHERE[name]}"
    groups = [group for group, names in _groups().items() if name in names]
    return f"it is a part of {' or of '.join(groups)}: waitctl {groups[0]} {name}" if groups else None


def _commands() -> frozenset[str]:
    from waitctl.cli.app import COMMANDS

    return frozenset(COMMANDS)


def _groups() -> dict[str, list[str]]:
    """The commands of each group by their names."""
    from waitctl.cli.app import GROUPS, load

    return {group: sorted(getattr(load(group), "commands", {})) for group in sorted(GROUPS)}


def _nearest_choice(message: str) -> str | None:
    """What somebody who mistyped one of a few values has most likely meant."""
    found = re.search(r"'([^']+)' is not one of ('.+')", message)
    if found is None:
        return None
    from difflib import get_close_matches

    near = get_close_matches(found[1], re.findall("'([^']+)'", found[2]), n=1)
    return near[0] if near else None
