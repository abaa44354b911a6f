"""What a template says, read by the options of `create`: each is defined there alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import typer

from waitctl.application.waits.requests import WaitRequest
from waitctl.cli.create import FORMS, app
from waitctl.cli.session import Session, read_text_argument
from waitctl.cli.wait_lines import parameters_of, read_form
from waitctl.domain.errors import InvalidTemplateError, InvalidWaitConfigurationError
from waitctl.domain.text import JsonObject, parse_json_object, to_json
from waitctl.infrastructure.config import Settings

_OF_THE_RUN = {"dry_run": "--dry-run", "output": "--output", "quiet": "--quiet"}
"""Options that say how a command is run."""


class CreateForms:
    """Reads templates by the options of `waitctl create`, with the settings of this run."""

    def __init__(self, session: Session | Settings | None = None) -> None:
        self._session = session if isinstance(session, Session) else Session(_settings=session)

    def parse(self, argv: Sequence[str]) -> JsonObject:
        """What a command line asks for: ``create fixed-time 3d …``, with or without its first word.

        Its arguments are told apart here, before anything is put into them. Raises `InvalidTemplateError`.
        """
        words = [*argv[1:]] if argv and argv[0] == "create" else [*argv]
        form = words.pop(0) if words else ""
        if form not in FORMS:
            said = f"there is no form {form!a}" if form else "it says nothing"
            raise InvalidTemplateError(f"{said}: write create and one of {', '.join(FORMS)}")
        given = _split(form, words)
        for name in given.keys() & _OF_THE_RUN.keys():
            raise InvalidTemplateError(f"{_OF_THE_RUN[name]} is no part of a template")
        raw, text = given.pop("context_raw", None), given.pop("context", None)
        fields: JsonObject = {"type": form} | {
            key: given[parameter.name] for key, parameter in parameters_of(form).items() if parameter.name in given
        }
        if raw is None and text is not None:
            raw = read_text_argument(text, "the context", InvalidWaitConfigurationError)
        return fields if raw is None else fields | {"context": parse_json_object(raw, "the context")}

    def request(self, fields: JsonObject, binding: JsonObject | None = None) -> WaitRequest:
        """The wait that is asked for. Raises what its form raises."""
        rest = dict(fields)
        context = rest.pop("context", None)
        asked = read_form(rest, context if context is None or isinstance(context, str) else to_json(context))
        return asked.request(asked.common.spec(replace(self._session, template=binding, inline_command=None)))

    def command_line(self, fields: Mapping[str, Any]) -> str:
        """The command that asks for this."""
        form = str(fields.get("type"))
        arguments, options = list[str](), list[str]()
        for key, parameter in parameters_of(form).items():
            value = fields.get(key)
            if value is None or value is False:
                continue
            if parameter.is_argument:
                arguments.append(",".join(value) if isinstance(value, list) else str(value))
                continue
            for each in value if isinstance(value, list) else [value]:
                options += (
                    [f"--{key}"] if each is True else [f"--{key}", each if isinstance(each, str) else to_json(each)]
                )
        return shlex.join(["waitctl", "create", form, *arguments, *options])


def _split(form: str, words: list[str]) -> dict[str, Any]:
    """The values of a command line by its parameters' names, as they stand there.

    Raises `InvalidTemplateError` for an option that there is not, or a word too many.
    """
    group: Any = typer.main.get_command(app)
    command = group.commands[form]
    context = typer.Context(command, info_name=f"waitctl create {form}")
    try:
        given, left, _ = command.make_parser(context).parse_args([*words])
    except typer.TyperException as error:
        raise InvalidTemplateError(error.format_message(), hint=f"waitctl create {form} --help says more") from error
    if left and "--" in words:
        raise InvalidTemplateError(
            "a command behind -- is no part of a template: whoever may write to the database could change it",
            hint="name a --handler",
        )
    if left:
        raise InvalidTemplateError(f"there is a word too many: {left[0]!a}", hint="quote what has spaces")
    return {name: value for name, value in given.items() if value is not None and value != []}
