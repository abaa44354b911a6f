"""Options that several commands share: a class of them, which a command takes as one argument."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from inspect import Parameter, Signature, get_annotations, signature
from typing import Any

Command = Callable[..., None]


class OptionSet:
    """Options: each an attribute with Typer's annotation and a default."""

    def __init__(self, **given: Any) -> None:
        vars(self).update(given)


def takes(name: str, options: type[OptionSet]) -> Callable[[Command], Command]:
    """Give a command every option of ``options``; it gets them as one argument, ``name``."""
    return lambda command: _WithOptions(command, name, options)


class _WithOptions:
    """A command with the options in its signature, which is made when Typer asks: it does so of those that are run."""

    def __init__(self, command: Command, name: str, options: type[OptionSet]) -> None:
        self._command, self._name, self._options = command, name, options
        self.__doc__ = command.__doc__
        self.__name__ = command.__name__
        self.__annotations__: dict[str, Any] = {}

    def __call__(self, **arguments: Any) -> None:
        given = {parameter.name: arguments.pop(parameter.name) for parameter in self._parameters}
        self._command(**arguments, **{self._name: self._options(**given)})

    @cached_property
    def __signature__(self) -> Signature:
        found = signature(self._command, eval_str=True)
        own = [
            each.replace(kind=Parameter.KEYWORD_ONLY) for each in found.parameters.values() if each.name != self._name
        ]
        return found.replace(parameters=[*own, *self._parameters])

    @cached_property
    def _parameters(self) -> list[Parameter]:
        return [
            Parameter(name, Parameter.KEYWORD_ONLY, default=getattr(self._options, name), annotation=annotation)
            for each in reversed(self._options.__mro__)
            for name, annotation in get_annotations(each, eval_str=True).items()
        ]
