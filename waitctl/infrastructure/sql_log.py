"""What ``waitctl -vv`` says of each statement: how long it took and its name, never its parameters."""

from __future__ import annotations

import sys
from time import perf_counter
from traceback import walk_stack
from typing import Any

from sqlalchemy import Connection, Engine, event

from waitctl.infrastructure import sql_batch

_BEGAN = "waitctl_statement_began"
_BETWEEN = (__name__, sql_batch.__name__)


def log_statements() -> None:
    """Write a line on standard error for each statement of every engine, from now on."""
    event.listen(Engine, "before_cursor_execute", _begin)
    event.listen(Engine, "after_cursor_execute", _end)


def _begin(connection: Connection, *_: object) -> None:
    connection.info[_BEGAN] = perf_counter()


def _end(connection: Connection, cursor: object, text: str, parameters: object, context: Any, many: bool) -> None:
    took = (perf_counter() - connection.info[_BEGAN]) * 1000
    name = context.execution_options.get(sql_batch.NAME) or _asking()
    sys.stderr.write(f"sql {took:9.2f} ms  {name}\n")


def _asking() -> str:
    """The function of ours that asks, by its module and name."""
    for frame, _ in walk_stack(None):
        module, function = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module.startswith("waitctl.") and module not in _BETWEEN and not function.startswith(("_", "<")):
            return f"{module.rpartition('.')[2]}.{function}"
    return "unnamed"
