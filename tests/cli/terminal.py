"""A command on a terminal of a given width, as people see it."""

from __future__ import annotations

import re

from tests.cli.processes import Waitctl

_STYLES = re.compile(r"\x1b\[[0-9;]*m")


def on_a_terminal(run: Waitctl, *arguments: str, columns: int) -> list[str]:
    """The lines that a terminal shows, without their colours."""
    return shown_and_said(run, *arguments, columns=columns)[0]


def shown_and_said(run: Waitctl, *arguments: str, columns: int) -> tuple[list[str], list[str]]:
    """The same, and the lines on standard error."""
    finished = run.on_a_terminal(*arguments, columns=columns)
    assert finished.code == 0, finished
    return [line.rstrip() for line in _STYLES.sub("", finished.out).splitlines()], finished.err.splitlines()
