"""Options that several commands share: a dataclass of them, which a command takes as one argument."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

Command = Callable[..., None]


def takes(name: str, options: type[Any]) -> Callable[[Command], Command]:
    """Give a command every option of ``options``, a dataclass; it gets them as one argument, ``name``.

    Its annotations are Typer's, its defaults the options' own.
    """
    hints = get_type_hints(options, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(options)
    ]

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != name]

        def with_options(**arguments: Any) -> None:
            values = {parameter.name: arguments.pop(parameter.name) for parameter in parameters}
            command(**arguments, **{name: options(**values)})

        keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        vars(with_options)["__signature__"] = signature.replace(parameters=[*keywords, *parameters])
        with_options.__doc__ = command.__doc__
        with_options.__name__ = command.__name__
        return with_options

    return decorate
