"""A command line of `create` as its options by their long names, and the other way round."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from waitctl.application.waits.forms import FORMS, RECURRING, keys_of
from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.text import JsonObject, to_json

SHORT: Mapping[str, str] = {"-e": "--execution", "-s": "--step", "-w": "--workflow", "-c": "--contact"}
"""The options that have a short name."""

ARGUMENTS: Mapping[str, str] = {
    "fixed-time": "duration",
    "until-date": "date",
    "until-time": "time",
    "for-event": "types",
}
"""What stands in each form without a name."""


def parse_command_line(argv: Sequence[str]) -> JsonObject:
    """What ``create fixed-time 3d --at 9`` asks for, with or without its first word: each value as it stands there.

    Raises `InvalidWaitConfigurationError` for a form or an option that there is not, and for a word too many.
    """
    words = [*argv[1:]] if argv and argv[0] == "create" else [*argv]
    form = words.pop(0) if words else ""
    if form not in (forms := (*FORMS, RECURRING)):
        said = f"there is no form {form!a}" if form else "it says nothing"
        raise InvalidWaitConfigurationError(f"{said}: write create and one of {', '.join(forms)}")
    fields: JsonObject = {"type": form}
    kinds = keys_of(form)
    while words:
        word = words.pop(0)
        if word == "--":
            raise InvalidWaitConfigurationError("a command behind -- cannot stand here", hint="name a --handler")
        if not word.startswith("-") or word == "-":
            _put(fields, ARGUMENTS.get(form), word, str)
            continue
        name, value = _option(word)
        kind = kinds.get(name)
        if kind is None or name == ARGUMENTS.get(form):
            raise InvalidWaitConfigurationError(
                f"there is no option {word!a}", hint=f"waitctl create {form} --help names them"
            )
        if kind is bool and value is None:
            fields[name] = True
        elif kind is bool or (value is None and not words):
            said = "takes no value" if kind is bool else "needs a value"
            raise InvalidWaitConfigurationError(f"--{name} {said}")
        else:
            _put(fields, name, words.pop(0) if value is None else value, kind)
    return fields


def _option(word: str) -> tuple[str, str | None]:
    """The long name of an option, and the value that stands in the same word."""
    if word[:2] != "--":
        return SHORT.get(word[:2], "").removeprefix("--") or word, word[2:] or None
    name, equals, value = word[2:].partition("=")
    return name, value if equals else None


def _put(fields: JsonObject, name: str | None, value: str, kind: type) -> None:
    if name is not None and kind is list:
        fields.setdefault(name, []).append(value)
        return
    if name is None or (name in ARGUMENTS.values() and name in fields):
        raise InvalidWaitConfigurationError(f"there is a word too many: {value!a}", hint="quote what has spaces")
    fields[name] = value


def command_line(fields: Mapping[str, Any]) -> str:
    """The command that asks for this."""
    form = str(fields.get("type"))
    words = ["waitctl", "create", form]
    argument = fields.get(ARGUMENTS.get(form, ""))
    if argument is not None:
        words.append(",".join(argument) if isinstance(argument, list) else str(argument))
    for name, value in fields.items():
        if name in {"type", ARGUMENTS.get(form)} or value is None or value is False:
            continue
        for each in value if isinstance(value, list) else [value]:
            words += [f"--{name}"] if each is True else [f"--{name}", each if isinstance(each, str) else to_json(each)]
    return shlex.join(words)
