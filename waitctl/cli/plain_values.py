"""Values of the command line that need no conversion but this one: Typer has pydantic make the others.

To import pydantic takes longer than all that a short command does. What is no plain value goes Typer's own way, so that
errors and their words are Typer's.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, get_args, get_origin

from typer.core import TyperGroup

_OTHER = object()
"""No plain value."""


def take_plain_values(command: Any) -> Any:
    """Let the parameters of a command, and of the commands in a group, take plain values as they are."""
    for parameter in command.params:
        _let_take(parameter)
    find_help_option = command.get_help_option

    def get_help_option(context: Any) -> Any:  # Typer makes it when it is asked first
        return _let_take(find_help_option(context))

    command.get_help_option = get_help_option
    for each in command.commands.values() if isinstance(command, TyperGroup) else ():
        take_plain_values(each)
    return command


def _let_take(parameter: Any) -> Any:
    if getattr(parameter, "type_descriptor", None) is not None and parameter._runtime_param is None:  # noqa: SLF001
        parameter._runtime_param = _PlainValues()  # noqa: SLF001 (Typer would make its own when it is asked)
    return parameter


class _PlainValues:
    """What Typer calls its runtime parameter: it converts what was found on the command line."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value of the parameter's type. Raises Typer's errors."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        descriptor = param.type_descriptor
        annotation = descriptor.annotation
        if several and get_origin(annotation) is list and isinstance(value, list | tuple):
            found = [_plain(each, get_args(annotation)[0], descriptor.parameter_info) for each in value]
            if _OTHER not in found:
                return found
        elif not several and (one := _plain(value, annotation, descriptor.parameter_info)) is not _OTHER:
            return one
        from typer._coercion import build_runtime_param

        return build_runtime_param(descriptor).coerce(value, param=param, ctx=ctx)


def _plain(value: Any, annotation: Any, info: Any) -> Any:
    if info.parser is not None or not isinstance(annotation, type):
        return _OTHER
    if annotation is str:
        return value if type(value) is str else _OTHER
    if issubclass(annotation, Enum):
        return next((each for each in annotation if value is each or value == each.value), _OTHER)
    if annotation is int and type(value) is str and value.isascii() and value.isdigit() and len(value) <= _DIGITS:
        value = int(value)
    if annotation is int and type(value) is int and info.clamp is not True:
        low, high = info.min, info.max
        return value if (low is None or low <= value) and (high is None or value <= high) else _OTHER
    return _OTHER


_DIGITS = 18
"""Of a number that is plain: one that is longer is Typer's."""
