"""What ``waitctl -vv`` says of each statement: how long it took and its name, never its parameters."""

from __future__ import annotations

import sys
from traceback import walk_stack

from waitctl.infrastructure import executor, kept

_BETWEEN = (__name__, executor.__name__, kept.__name__)


def log_statements() -> None:
    """Write a line on standard error for each statement of this process, from now on."""
    if _tell not in executor.WATCHERS:
        executor.WATCHERS.append(_tell)


def _tell(said: executor.Said) -> None:
    if said.error is None:
        sys.stderr.write(f"sql {said.took * 1000:9.2f} ms  {said.name or _asking()}\n")


def _asking() -> str:
    """The function of ours that asks, by its module and name."""
    for frame, _ in walk_stack(None):
        module, function = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module.startswith("waitctl.") and module not in _BETWEEN and not function.startswith(("_", "<")):
            return f"{module.rpartition('.')[2]}.{function}"
    return "unnamed"
