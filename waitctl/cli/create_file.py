"""`waitctl create --file`: a wait a line, of NDJSON or CSV.

A line is what the command line would be: its keys are the long names of the options of `create`.
"""

from __future__ import annotations

import gc
import io
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO

import pydantic_core
import typer

from waitctl.application.events.ndjson import MAX_LINE, read_lines
from waitctl.application.waits.forms import FORMS, keys_of, several_texts, unknown_key
from waitctl.application.waits.requests import Alike, WaitRequest
from waitctl.application.waits.results import CreateTotals, Rejection
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.cli import stopping
from waitctl.cli.create import FileFormat, warn_of_unknown_handlers
from waitctl.cli.output import (
    ExitCode,
    Interrupted,
    Output,
    json_text,
    print_document,
    print_explanation,
    say,
    write_line,
)
from waitctl.cli.session import Session
from waitctl.cli.streams import open_input, progress
from waitctl.cli.wait_lines import LineReader
from waitctl.domain.errors import DatabaseError, InvalidWaitConfigurationError, WaitStepError
from waitctl.domain.text import JsonObject, StorableObject, is_harmless, parse_json, parse_json_object

if TYPE_CHECKING:
    from waitctl.domain.templates import Template
    from waitctl.infrastructure.database import Database

_OBJECTS_BETWEEN_COLLECTIONS = 200_000
"""What the collector of garbage lets pass before it looks."""


# -- the lines of a file -----------------------------------------------------------------------------------------------

Line = tuple[int, Any]
"""A line's number, and what it is made of."""


def _read_json(line: bytes) -> JsonObject:
    if len(line) > MAX_LINE:
        raise InvalidWaitConfigurationError(f"the line is longer than {MAX_LINE:,} bytes")
    fields = _read_plain(line)
    if fields is None:
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InvalidWaitConfigurationError(f"the line is not UTF-8: {error.reason}") from error
        fields = parse_json(text, "the line")
    if not isinstance(fields, dict):
        raise InvalidWaitConfigurationError("the line is no JSON object")
    return fields


def _read_plain(line: bytes) -> JsonObject | None:
    """The object of a line as nearly all are, its context known to be storable; ``None``: it needs a closer look."""
    if not is_harmless(line):
        return None
    try:
        fields = pydantic_core.from_json(line, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        return None  # the other reader says it better
    if isinstance(fields, dict) and isinstance(context := fields.get("context"), dict):
        storable = fields["context"] = StorableObject(context)
        storable.text = pydantic_core.to_json(context).decode()
        return None if "Infinity" in storable.text else fields  # a number beyond a double, or a text that says so
    return fields if isinstance(fields, dict) else None


def _csv_lines(stream: BinaryIO, stop: stopping.Stoppable) -> Iterator[Line]:
    """The records of a CSV file under its header; ``context.NAME`` is a key of the context.

    Raises `InvalidWaitConfigurationError` for a header with a name that no form has.
    """
    import csv

    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="strict", newline="")
    rows = csv.reader(text)
    try:
        header = [name.strip() for name in next(rows, [])]
        _check_header(header)
        before = rows.line_num
        for row in rows:
            if stop.stopped:
                return
            number, before = before + 1, rows.line_num
            if any(row):
                yield number, (header, row)
    except UnicodeDecodeError as error:
        raise InvalidWaitConfigurationError("the file is not UTF-8") from error
    except csv.Error as error:
        raise InvalidWaitConfigurationError(f"line {rows.line_num}: {error}") from error


def _check_header(header: Sequence[str]) -> None:
    known = {"type"}.union(*map(keys_of, FORMS))
    for name in header:
        if name.replace("_", "-") not in known and not name.startswith("context."):
            raise unknown_key(name, known)
    if "type" not in header:
        raise InvalidWaitConfigurationError("the header has no column 'type'", hint="type,duration,execution,…")


def _read_record(record: tuple[Sequence[str], Sequence[str]]) -> JsonObject:
    header, row = record
    if len(row) > len(header):
        raise InvalidWaitConfigurationError(f"it has {len(row)} cells, and the header {len(header)}")
    fields: JsonObject = {}
    context: JsonObject = {}
    for name, cell in zip(header, row, strict=False):
        if not cell:
            continue
        if name.startswith("context."):
            context[name.removeprefix("context.")] = cell
        elif name in fields:  # a column that is there twice: what may be repeated
            fields[name] = [*several_texts(name, fields[name]), cell]
        else:
            fields[name] = cell
    if context:
        given = fields.get("context")
        fields["context"] = (parse_json_object(given, "the context") if given else {}) | context
    return fields


# -- the command -------------------------------------------------------------------------------------------------------


def create_from_file(session: Session, file: str, format_: FileFormat | None, *, dry_run: bool, output: Output) -> None:
    """Create the waits of a file, and print what became of them. Exits 1 when a line was refused.

    Raises `InvalidWaitConfigurationError` for a file that cannot be read, and `Interrupted` when it was.
    """
    if session.inline_command is not None:
        raise InvalidWaitConfigurationError("a command behind -- is for one wait", hint="name a --handler in the lines")
    chosen = format_ or (FileFormat.CSV if file.lower().endswith(".csv") else FileFormat.NDJSON)
    with ExitStack() as stack:
        database = stack.enter_context(session.database_to_try(dry_run=dry_run))
        stream = stack.enter_context(open_input(file, InvalidWaitConfigurationError))
        service = WaitSchedulingService(database, actor=session.actor, settings=session.settings())
        run = _Run(service, LineReader(session, _templates_of(session, database)), output)
        is_csv = chosen is FileFormat.CSV
        with progress(stream, output) as show, stopping.Stoppable(database.patience.hurry) as stop:
            held = stop.input(stream)
            lines: Iterator[Line] = _csv_lines(held, stop) if is_csv else stop.until_stopped(read_lines(held))
            try:
                run.create(lines, _read_record if is_csv else _read_json, show, dry_run=dry_run)
            except DatabaseError:
                if run.totals.received:
                    run.print_totals()  # of what is created, whatever became of the rest
                raise
        if not dry_run:
            session.say_when_nothing_ticks(database)
    if stop.stopped:
        raise Interrupted(f"{totals_line(run.totals)}; run it again: what has an execution or a key is known again")
    warn_of_unknown_handlers(run.reader.handlers, session)
    run.print_totals()
    if dry_run and output is Output.HUMAN:
        say("nothing was written")
    elif run.reader.unnamed and output is Output.HUMAN:
        say(f"{run.reader.unnamed:,} had neither an execution nor a key: run again, they are created again")
    raise typer.Exit(ExitCode.FAILURE if run.totals.rejected else ExitCode.OK)


def _templates_of(session: Session, database: Database) -> Callable[[str], Template]:
    """What finds the templates that lines name, for few files have such lines."""

    def find(reference: str) -> Template:
        from waitctl.application.operations.templates import TemplateService

        return TemplateService(database, settings=session.settings()).get(reference)

    return find


def totals_line(totals: CreateTotals) -> str:
    """The totals in words."""
    return (
        f"{totals.received:,} received, {totals.created:,} created, {totals.existing:,} there already, "
        f"{totals.rejected:,} rejected"
    )


class _Run:
    """One file, and what has become of it so far."""

    def __init__(self, service: WaitSchedulingService, reader: LineReader, output: Output) -> None:
        self.reader = reader
        self.totals = CreateTotals()
        self._service = service
        self._output = output
        self._numbers = array("Q")
        self._explanation: tuple[str, ...] | None = None
        self._print_explanation: Callable[[], None] = lambda: None

    def create(
        self,
        lines: Iterable[Line],
        parse: Callable[[Any], JsonObject],
        show: Callable[[str, int], None],
        *,
        dry_run: bool,
    ) -> None:
        """Create what the lines ask for, of which ``parse`` reads the fields."""
        # The thread that talks to the database needs Python only for moments, but every few milliseconds.
        sys.setswitchinterval(0.0005)
        gc.freeze()
        gc.set_threshold(
            _OBJECTS_BETWEEN_COLLECTIONS
        )  # a thousand lines are ten thousand objects, none of them garbage

        def on_batch(so_far: CreateTotals) -> None:
            self.totals = so_far
            show(totals_line(so_far), so_far.received)

        self._service.create_waits(
            self._requests(lines, parse, explain=dry_run),
            on_rejection=self._say_rejection,
            on_batch=on_batch,
            dry_run=dry_run,
        )

    def _requests(
        self, lines: Iterable[Line], parse: Callable[[Any], JsonObject], *, explain: bool
    ) -> Iterator[WaitRequest | Alike | WaitStepError]:
        read, numbered = self.reader.read, self._numbers.append
        for number, line in lines:
            numbered(number)
            unnamed = self.reader.unnamed
            try:
                request = read(number, parse(line))
                if explain and self._explanation is None:
                    self._explain(request.request)
            except DatabaseError:
                raise
            except WaitStepError as error:
                self.reader.unnamed = unnamed
                yield error
            else:
                yield request

    def _explain(self, request: WaitRequest) -> None:
        result = self._service.create_wait(request, dry_run=True)
        self._explanation = result.explanation
        self._print_explanation = lambda: print_explanation(result.wait, result.explanation)

    def _say_rejection(self, rejection: Rejection) -> None:
        number, error = self._numbers[rejection.place - 1], rejection.error
        if self._output.is_json:
            document = {"code": error.code, "message": error.message, "hint": error.hint, "line": number}
            print(json_text({"error": document}), file=sys.stderr)  # noqa: T201
        else:
            say(f"line {number}: {error.message}" + (f" ({error.hint})" if error.hint else ""))

    def print_totals(self) -> None:
        """Print what has become of it, and of a dry run the explanation of the first line."""
        document = self.totals.to_json()
        if self._explanation is not None:
            document["explanation"] = list(self._explanation)

        def human() -> None:
            self._print_explanation()
            write_line(totals_line(self.totals))

        print_document(document, self._output, human=human)
