"""A command on a terminal of a given width, as people see it."""

from __future__ import annotations

import os
import re

from tests.cli.processes import Waitctl, finish

_STYLES = re.compile(r"\x1b\[[0-9;]*m")


def on_a_terminal(run: Waitctl, *arguments: str, columns: int) -> list[str]:
    """The lines that a terminal shows, without their colours."""
    return shown_and_said(run, *arguments, columns=columns)[0]


def shown_and_said(run: Waitctl, *arguments: str, columns: int) -> tuple[list[str], list[str]]:
    """The same, and the lines on standard error."""
    ours, theirs = os.openpty()
    process = run.start(*arguments, env={"TERM": "xterm-256color", "COLUMNS": str(columns)}, stdout=theirs)
    os.close(theirs)
    seen = bytearray()
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:  # how Linux says that the other side hung up
        pass
    os.close(ours)
    finished = finish(process)
    assert finished.code == 0, finished
    return [line.rstrip() for line in _STYLES.sub("", seen.decode()).splitlines()], finished.err.splitlines()
