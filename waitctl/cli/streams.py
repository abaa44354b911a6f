"""What is read a line at a time: a file or standard input, and how far a command has come with it; and what is data."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import BinaryIO

from waitctl.cli.output import Output
from waitctl.domain.errors import InvalidEventError, InvalidInputError

_ROOM = 4
"""Columns that a bar leaves free at the end of its line."""


@contextmanager
def open_input(file: str, error: type[InvalidInputError] = InvalidEventError) -> Iterator[BinaryIO]:
    """The bytes of a file, or of standard input for ``-``. Raises ``error`` when they cannot be read."""
    if file == "-":
        if sys.stdin is None:
            raise error("standard input is closed")
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb", buffering=0)  # noqa: SIM115 (closed below; only opening it is our error)
    except (OSError, ValueError) as cause:
        reason = cause.strerror if isinstance(cause, OSError) else cause
        raise error(f"cannot read {file}: {reason}") from cause
    with stream:
        yield stream


@contextmanager
def progress(stream: BinaryIO | None, output: Output) -> Iterator[Callable[[str, int], None]]:
    """How far it has come, on a terminal: a bar over the bytes of a file with the time left, else a count; its rate.

    What is shown is a text and the number of lines so far. Without a stream something is written.
    """
    if not output.is_for_people or os.environ.get("NO_COLOR") or not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield lambda _, __: None
        return
    from rich.console import Console, ConsoleOptions
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    size = None if stream is None else _size_of(stream)
    columns = (BarColumn(), TimeRemainingColumn()) if size else (SpinnerColumn(), TimeElapsedColumn())
    rate = TextColumn("{task.fields[rate]}")

    class Narrower(Console):
        """With room behind a line for the ^C that a terminal shows: on the next one it would make the bar stay."""

        @property
        def options(self) -> ConsoleOptions:
            whole = super().options
            return whole.update(width=max(1, whole.max_width - _ROOM))

    with Progress(
        TextColumn("{task.description}"), *columns, rate, console=Narrower(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("reading" if stream else "writing", total=size, rate="")

        def show(words: str, lines: int) -> None:
            done = os.lseek(stream.fileno(), 0, os.SEEK_CUR) if stream and size else lines
            elapsed = bar.tasks[0].elapsed
            bar.update(task, description=words, completed=done, rate=f"{lines / elapsed:,.0f}/s" if elapsed else "")

        yield show


@contextmanager
def words_only() -> Iterator[None]:
    """Send to standard error what functions print meanwhile, also past Python: data is what the command itself says."""
    with redirect_stdout(sys.stderr):
        try:
            data = os.dup(1)
        except OSError:  # it is closed
            yield
            return
        try:
            os.dup2(2, 1)
        except OSError:
            os.close(data)
            yield
            return
        try:
            yield
        finally:
            os.dup2(data, 1)
            os.close(data)


def _size_of(stream: BinaryIO) -> int | None:
    """The bytes of a file, None of what is no file."""
    about = os.fstat(stream.fileno())
    return about.st_size if stat.S_ISREG(about.st_mode) else None
