"""Printing: data to standard output, words to standard error, and what the exit codes mean."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from waitctl.domain.counts import number_of
from waitctl.domain.durations import format_timedelta
from waitctl.domain.errors import (
    ConflictError,
    DatabaseError,
    InvalidInputError,
    NotFoundError,
    WaitStepError,
)
from waitctl.domain.text import clean as clean  # noqa: PLC0414 (the commands have it from here)
from waitctl.domain.text import escape_steering

if TYPE_CHECKING:
    from rich.console import Console

    from waitctl.domain.listeners import EventListener
    from waitctl.domain.waits import WaitStepExecution

T = TypeVar("T")


class ExitCode(IntEnum):
    """What `waitctl` exits with. `waitctl help exit-codes` says the same; a test compares."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    DATABASE = 5
    TIMED_OUT = 6
    ENDED_OTHERWISE = 7
    INTERRUPTED = 130

    @classmethod
    def of(cls, error: WaitStepError) -> ExitCode:
        """The exit code for an error."""
        match error:
            case InvalidInputError():
                return cls.USAGE
            case NotFoundError():
                return cls.NOT_FOUND
            case ConflictError():
                return cls.CONFLICT
            case DatabaseError():
                return cls.DATABASE
            case _:
                return cls.FAILURE


class Interrupted(Exception):  # noqa: N818 (nothing went wrong)
    """A command stopped because it was told to. ``hint`` says how far it came."""

    def __init__(self, hint: str) -> None:
        self.hint = hint
        super().__init__(hint)


class Output(StrEnum):
    """How data is printed."""

    HUMAN = "human"
    WIDE = "wide"
    """For people, too: every column of a table, and none is cut."""
    JSON = "json"
    NDJSON = "ndjson"
    YAML = "yaml"
    CSV = "csv"
    ID = "id"

    @property
    def is_for_people(self) -> bool:
        """Whether people read it, and words beside it."""
        return self in {Output.HUMAN, Output.WIDE}

    @property
    def is_json(self) -> bool:
        """Whether programs read it as JSON, and errors so, too."""
        return self in {Output.JSON, Output.NDJSON}


OutputOption = Annotated[
    Output, typer.Option("-o", "--output", help="How to print: for people, or for programs.", show_choices=True)
]


def _without_id(output: Output) -> Output:
    if output is Output.ID:
        raise typer.BadParameter("there is no id to print")
    return output


# For what has no id: refused before anything is done.
DocumentOption = Annotated[
    Output,
    typer.Option(
        "-o", "--output", help="How to print: for people, or for programs.", show_choices=True, callback=_without_id
    ),
]


def json_text(document: Any, indent: int | None = None) -> str:
    """The document, compact unless indented; what would steer a terminal is escaped, and reads the same."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(document, ensure_ascii=False, indent=indent, separators=separators)
    return escape_steering(text)


def print_error(code: str, message: str, hint: str | None, *, as_json: bool) -> None:
    """One ``error:`` line on standard error, a ``hint:`` line where there is a next step; or both as JSON."""
    if as_json:
        error = {"code": code, "message": message, "hint": hint}
        line = json.dumps({"error": error})
    else:
        line = f"error: {clean(message)}" + (f"\nhint: {clean(hint)}" if hint else "")
    print(line, file=sys.stderr)  # noqa: T201


def for_each(names: Sequence[str], act: Callable[[str], T], output: Output) -> tuple[list[T], ExitCode]:
    """Do something under each name; report what fails, go on, and return what was done and the worst exit code."""
    done: list[T] = []
    worst = ExitCode.OK
    for name in names:
        try:
            done.append(act(name))
        except WaitStepError as error:
            code = ExitCode.of(error)
            if code is ExitCode.DATABASE:
                raise
            message = f"{name}: {error.message}" if len(names) > 1 else error.message
            print_error(error.code, message, error.hint, as_json=output.is_json)
            worst = max(worst, code)
    return done, worst


_quiet = False


def be_quiet(quiet: bool) -> None:
    """Whether words are left out from here on: for ``-q``, until the next command line is run in this process."""
    global _quiet  # noqa: PLW0603
    _quiet = quiet


def say(message: str, *, always: bool = False) -> None:
    """Words for people, on standard error; with ``-q`` only what is said ``always``, as of what went wrong."""
    if always or not _quiet:
        print(clean(message), file=sys.stderr)  # noqa: T201


count = number_of
"""The commands have it from here."""


def write_line(line: str) -> None:
    """A line of data on standard output."""
    print(line)  # noqa: T201


def write_text(text: str) -> None:
    """Lines of data on standard output, their ends with them."""
    sys.stdout.write(text)


def write_unescaped(text: str) -> None:
    """Lines of CSV or metrics: as they are for a program, harmless to a terminal, since nothing in them is escaped."""
    write_text("\n".join(map(clean, text.split("\n"))) if sys.stdout.isatty() else text)


def write_id(value: object) -> None:
    """An id: whole for a program, and as harmless as everything else to a terminal."""
    write_line(clean(value) if sys.stdout.isatty() else str(value))


def print_document(document: Any, output: Output, *, human: Callable[[], None], id_key: str | None = None) -> None:
    """Print one document: as JSON, YAML or CSV, as its id, or for people.

    Raises `BadParameter` where an id is asked for and there is none.
    """
    from waitctl.cli.formats import csv_text, yaml_text

    match output:
        case Output.JSON:
            write_line(json_text(document, indent=2))
        case Output.NDJSON:
            write_line(json_text(document))
        case Output.ID:
            if id_key is None:
                raise typer.BadParameter("there is no id to print", param_hint="--output")
            write_id(document[id_key])
        case Output.YAML:
            write_text(yaml_text(document))
        case Output.CSV:
            write_unescaped(csv_text([document], list(document)))
        case Output.HUMAN | Output.WIDE:
            human()


def print_list(
    documents: Iterable[Any],
    output: Output,
    *,
    whole: Callable[[list[Any]], Any],
    human: Callable[[list[Any]], None],
    id_key: str | None = None,
) -> None:
    """Print documents: as one JSON or YAML document (``whole`` wraps them), a line each, their ids, or for people.

    Raises `BadParameter` where ids are asked for and there are none.
    """
    from waitctl.cli.formats import csv_text, yaml_text

    rows = list(documents)
    match output:
        case Output.JSON:
            write_line(json_text(whole(rows), indent=2))
        case Output.NDJSON:
            for row in rows:
                write_line(json_text(row))
        case Output.ID:
            if id_key is None:
                raise typer.BadParameter("there is no id to print", param_hint="--output")
            for row in rows:
                write_id(row[id_key])
        case Output.YAML:
            write_text(yaml_text(whole(rows)))
        case Output.CSV:
            write_unescaped(csv_text(rows, list(rows[0]) if rows else []))
        case Output.HUMAN | Output.WIDE:
            human(rows)


# -- for people --------------------------------------------------------------------------------------------------------


_UNBOUNDED = 10_000_000
"""Columns that hold every table: three ids of 255 characters, a context of 256 KiB with its escapes."""


def console() -> Console:
    """Standard output for people: colour only on a terminal and without NO_COLOR; piped, no line is cut."""
    from rich.console import Console

    piped = not sys.stdout.isatty()
    return Console(highlight=False, markup=False, emoji=False, width=_UNBOUNDED if piped else None, soft_wrap=piped)


def shortened(text: str | None, most: int = 100) -> str | None:
    """A text that one row of a table can hold; the whole of it stands elsewhere."""
    return text if text is None or len(text) <= most else f"{text[: most - 1]}…"


def print_card(title: str, fields: Iterable[tuple[str, object]], *, style: str = "") -> None:
    """A card: a title over names and values. Empty values are left out."""
    fields = [(name, value) for name, value in fields if value not in (None, "", (), [])]
    if not sys.stdout.isatty():
        write_line(clean(title))
        if write_plainly([(name, value) for name, value in fields]):
            return
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, value in fields:
        grid.add_row(name, value if isinstance(value, Text) else Text(clean(value)))
    if sys.stdout.isatty():
        heading = Text(clean(title), style=f"bold {style}")
        console().print(Panel(grid, title=heading, title_align="left", expand=False, border_style=style or "dim"))
    else:
        console().print(grid)


GAP = 2
"""Blanks between two columns."""


def write_plainly(rows: Sequence[Sequence[object]]) -> bool:
    """Columns side by side without rich, which takes longer to import than a short command to run.

    Returns False, and has written nothing, when a cell is wider or narrower than its characters are many.
    """
    cells = [[getattr(cell, "plain", None) or clean("" if cell is None else cell) for cell in row] for row in rows]
    if not all(text.isascii() and "\n" not in text for row in cells for text in row):
        return False
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        write_line((" " * GAP).join(text.ljust(width) for text, width in zip(row, widths, strict=True)))
    return True


STATUS_STYLES = {
    "waiting": "cyan",
    "scheduled": "blue",
    "resumed": "green",
    "timeout": "yellow",
    "cancelled": "dim",
    "error": "red",
    "pending": "blue",
    "running": "cyan",
    "delivered": "green",
    "dead": "red",
    "dropped": "dim",
}


def status_text(status: str) -> Any:
    """A status in its colour, where there is one."""
    if not sys.stdout.isatty():
        return status
    from rich.text import Text

    return Text(status, style=STATUS_STYLES.get(status, ""))


def relative(at: datetime, now: datetime) -> str:
    """How far off an instant is: ``in 2 days 3 h``, ``5 min ago``."""
    span = at - now
    if abs(span.total_seconds()) < 1:
        return "now"
    return f"in {format_timedelta(span)}" if span.total_seconds() > 0 else f"{format_timedelta(span)} ago"


def local(at: datetime | None, zone: str, now: datetime) -> str | None:
    """An instant as the wait's zone shows it, and how far off it is."""
    if at is None:
        return None
    from waitctl.domain.instants import show_local

    return f"{show_local(at, zone)} {zone} ({relative(at, now)})"


class Tail(str):
    """The end of an id, which knows the rest."""

    __slots__ = ("whole",)

    whole: str

    def __new__(cls, identifier: str) -> Tail:
        """The last 12 characters of ``identifier``."""
        shown = super().__new__(cls, identifier[-12:])
        shown.whole = identifier
        return shown


def tail(identifier: str) -> Tail:
    """The end of an id: the head of a UUIDv7 is a clock, the same for all of an hour."""
    return Tail(identifier)


def prepare_streams() -> None:
    """Make odd environments printable: no encoding error may hide what was done."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is None:
        # Else print() takes None for standard output, and words would end up among the data.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 (for the rest of the run)
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (for the rest of the run)


def outlook(wait: WaitStepExecution) -> str:
    """What a wait comes to, in a line."""
    if not wait.status.is_open:
        return f"{wait.status} ({wait.resolution})"
    if wait.scheduled_at is not None:
        return f"scheduled for {local(wait.scheduled_at, wait.timezone, wait.updated_at)}"
    wanted = _wanted_events(wait.listeners)
    until = f" until {local(wait.timeout_at, wait.timezone, wait.updated_at)}" if wait.timeout_at else ""
    return clean(f"waiting for {wanted} of {wait.contact_id}{until}")


def _wanted_events(listeners: Sequence[EventListener]) -> str:
    """What is listened to, as in ``email_open, sms_reply`` or ``(email_open or email_click) and form_submit``."""
    groups: dict[int, list[str]] = {}
    for listener in listeners:
        groups.setdefault(listener.group_no, []).append(listener.event_type)
    if 0 in groups:
        return ", ".join(groups[0])
    parts = [
        " or ".join(names) if len(names) == 1 or len(groups) == 1 else f"({' or '.join(names)})"
        for names in groups.values()
    ]
    count = f"{listeners[0].needed:,} " if listeners and listeners[0].needed > 1 else ""
    return count + " and ".join(parts)


def print_explanation(wait: WaitStepExecution, explanation: Sequence[str]) -> None:
    """Why a wait ends when it does: every rule in its line, then the instant in its zone and in UTC."""
    from waitctl.domain.instants import format_instant

    for line in (*explanation, f"so: {outlook(wait)}"):
        write_line(clean(line))
    at = wait.scheduled_at or wait.timeout_at
    if at is not None and wait.status.is_open and wait.timezone != "UTC":
        write_line(f"in UTC: {format_instant(at)}")
