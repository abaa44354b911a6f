"""`waitctl create --file`: a wait a line, of NDJSON or CSV.

A line is what the command line would be: its keys are the long names of the options of `create`, and each is defined
there alone.
"""

from __future__ import annotations

import gc
import inspect
import io
import os
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from operator import itemgetter
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, BinaryIO, get_args, get_origin

import pydantic_core
import typer
from typer.models import OptionInfo

from waitctl.application.events.ndjson import MAX_LINE, read_lines
from waitctl.application.waits.requests import WaitRequest
from waitctl.application.waits.results import CreateTotals, Rejection
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.cli import stopping
from waitctl.cli.create import FORMS, Asked, FileFormat, delivery_key, warn_of_unknown_handlers
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
from waitctl.domain.errors import DatabaseError, InvalidWaitConfigurationError, WaitStepError
from waitctl.domain.text import JsonObject, StorableObject, is_harmless, parse_json, parse_json_object, to_json
from waitctl.domain.waits import WaitSpec
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.ids import new_id

_NOT_OF_A_LINE = frozenset({"context_", "context_raw", "dry_run", "output", "quiet"})
"""Parameters that say how a command is run."""

_ITS_OWN = ("execution", "step", "workflow", "contact", "context", "key")
"""What differs from line to line; of the rest a file has few combinations, and each is read once."""

_OBJECTS_BETWEEN_COLLECTIONS = 200_000
"""What the collector of garbage lets pass before it looks."""

_TEXT = frozenset({str, type(None)})

_MOST_FORMS = 10_000
"""Combinations that are remembered."""


# -- a line ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter of a form: its name in Python, and what its values are."""

    name: str
    kind: Any
    is_required: bool


@cache
def parameters_of(form: str) -> Mapping[str, _Parameter]:
    """The keys of a line of this form: the long names of its options, and the names of its arguments."""
    found: dict[str, _Parameter] = {}
    for parameter in inspect.signature(FORMS[form]).parameters.values():
        if parameter.name in _NOT_OF_A_LINE:
            continue
        kind, info = get_args(parameter.annotation)[:2]
        # Within `Annotated` Typer has the first of an option's names as its default.
        names = (info.default, *(info.param_decls or ())) if isinstance(info, OptionInfo) else ()
        key = next((name[2:] for name in names if isinstance(name, str) and name[:2] == "--"), parameter.name)
        found[key] = _Parameter(parameter.name, _plain(kind), parameter.default is inspect.Parameter.empty)
    return found


def _plain(kind: Any) -> Any:
    """The type of a value that is given."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if isinstance(kind, UnionType):
        return next(each for each in get_args(kind) if each is not type(None))
    return kind


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a line with these keys has what. ``own`` gets what is of `_ITS_OWN`, ``rest`` what is called ``names``."""

    names: tuple[str, ...]
    own: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    rest: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    reads_context: bool
    forms: dict[object, WaitRequest] = field(default_factory=dict)
    """By the values of `rest`, or their JSON, what was asked for by a line that had them."""

    @classmethod
    def of(cls, keys: Sequence[str]) -> _Layout:
        """The layout of lines with these keys, with None behind their values."""
        names = [key.replace("_", "-") for key in keys]
        own = [names.index(name) if name in names else len(names) for name in _ITS_OWN]
        rest = [place for place, name in enumerate(names) if name not in _ITS_OWN]
        none = len(names)
        return cls(
            tuple(names[place] for place in rest),
            itemgetter(*own),
            itemgetter(*rest, none, none),  # two at least, or it is no tuple
            any(names[place].endswith("field") for place in rest),
        )


class LineReader:
    """Reads lines, each a JSON object, as requests."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._delivery = os.environ.get("WAITCTL_DELIVERY_ID")
        self._layouts: dict[tuple[str, ...], _Layout] = {}
        self.handlers: set[str | None] = set()
        """Those that lines have named."""
        self.unnamed = 0
        """Lines with neither an execution nor a key: a second run cannot know them again."""

    def read(self, number: int, fields: JsonObject) -> WaitRequest:
        """What the line of this number asks for.

        Raises `InvalidWaitConfigurationError` for keys or types that no option has, and what the form raises.
        """
        keys = tuple(fields)
        layout = self._layouts.get(keys)
        if layout is None:
            layout = self._layouts[keys] = _Layout.of(keys)
        values = (*fields.values(), None)
        own: tuple[Any, ...] = layout.own(values)
        execution, step, workflow, contact, context, key = own
        if not {type(execution), type(step), type(workflow), type(contact), type(key)} <= _TEXT:
            raise _no_text(own)
        if type(context) is str:
            context = parse_json_object(context, "the context")
        step = "wait" if step is None else step
        if key is None and (execution is None or self._delivery is not None):
            key = self._key(number, execution, step)
        execution = new_id() if execution is None else execution

        known: Any = layout.rest(values)
        try:
            found = layout.forms.get(known)
        except TypeError:  # a list, or an object
            known = to_json(known)
            found = layout.forms.get(known)
        if found is None:
            spec = WaitSpec(execution, step, workflow, contact, context, idempotency_key=key)
            return self._form(layout, known, layout.rest(values), spec)
        shared = found.spec
        zone, handler, handlers = shared.timezone, shared.handler, shared.handlers
        spec = WaitSpec(execution, step, workflow, contact, context, handler, key, zone, handlers)
        return WaitRequest(found.asked, spec, found.rules, found.base, found.replace_open)

    def _key(self, number: int, execution: str | None, step: str) -> str | None:
        """The key of a line that has none: inside a handler, which may run twice, one of the delivery and the line."""
        if self._delivery is not None:
            return delivery_key(self._delivery, f"{number if execution is None else execution}:{step}")
        self.unnamed += execution is None
        return None

    def _form(self, layout: _Layout, known: object, values: tuple[Any, ...], spec: WaitSpec) -> WaitRequest:
        """What is asked for by a line of this layout; kept for the next that differ in nothing but where they belong.

        Unless it is read out of the context, which is each line's own.
        """
        request = self._read_form(dict(zip(layout.names, values, strict=False)), spec)
        if not layout.reads_context:
            if len(layout.forms) >= _MOST_FORMS:
                layout.forms.clear()
            layout.forms[known] = request
        return request

    def _read_form(self, rest: JsonObject, spec: WaitSpec) -> WaitRequest:
        rest = {key: value for key, value in rest.items() if value is not None}
        kind = rest.get("type")
        if kind is None:
            raise InvalidWaitConfigurationError("'type' is missing", hint=f"one of {', '.join(FORMS)}")
        form = kind.replace("_", "-") if isinstance(kind, str) else ""
        if form not in FORMS:
            raise InvalidWaitConfigurationError(f"there is no type {kind!a}", hint=f"one of {', '.join(FORMS)}")
        asked = Asked()
        parameters = parameters_of(form)
        given = {
            parameter.name: parameter.default
            for parameter in inspect.signature(FORMS[form]).parameters.values()
            if parameter.name != "context_"
        }
        for key, value in rest.items():
            if key != "type":
                if key not in parameters:
                    raise _unknown(key, parameters)
                given[parameters[key].name] = _value(key, value, parameters[key].kind)
        for key, parameter in parameters.items():
            if parameter.is_required and given[parameter.name] is inspect.Parameter.empty:
                raise InvalidWaitConfigurationError(f"{key!r} is missing", hint=f"waitctl create {form} --help")
        given["context_raw"] = None if spec.context is None else to_json(spec.context)
        FORMS[form](context_=asked, **given)
        shared = asked.common.spec(self._session)
        self.handlers.update([shared.handler, *(shared.handlers or {}).values()])
        zone, handler, handlers = shared.timezone, shared.handler, shared.handlers
        return asked.request(replace(spec, timezone=zone, handler=handler, handlers=handlers))


def _no_text(own: Sequence[object]) -> InvalidWaitConfigurationError:
    wrong = [name for name, value in zip(_ITS_OWN, own, strict=True) if type(value) not in _TEXT and name != "context"]
    return InvalidWaitConfigurationError(f"{wrong[0]!r} must be a string")


def _unknown(key: str, parameters: Iterable[str]) -> InvalidWaitConfigurationError:
    from difflib import get_close_matches

    near = get_close_matches(key, [*parameters, "type"], 1)
    return InvalidWaitConfigurationError(
        f"unknown key {key!a}", hint=f"did you mean {near[0]!r}?" if near else "the long names of the form's options"
    )


def _value(key: str, value: object, kind: Any) -> Any:
    """A value as the command line gives it to the form. Raises `InvalidWaitConfigurationError`."""
    if kind is bool:
        return _yes_or_no(key, value)
    if kind is int:
        return _whole_number(key, value)
    if get_origin(kind) is list:
        return _texts(key, value)
    if isinstance(value, dict) and key.endswith("json"):
        return to_json(value)
    if key == "types" and isinstance(value, list):
        value = ",".join(_texts(key, value))
    if not isinstance(value, str):
        raise InvalidWaitConfigurationError(f"{key!r} must be a string")
    if isinstance(kind, type) and issubclass(kind, Enum):
        choices = [str(each.value) for each in kind]
        if value not in choices:
            raise InvalidWaitConfigurationError(f"{key!r}: {value!a} is none of {', '.join(choices)}")
        return kind(value)
    return value


def _whole_number(key: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    raise InvalidWaitConfigurationError(f"{key!r} must be a whole number")


def _yes_or_no(key: str, value: object) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise InvalidWaitConfigurationError(f"{key!r} must be true or false")


def _texts(key: str, value: object) -> list[str]:
    """What may be repeated: a text, a list of them, or an object whose pairs are KEY=VALUE."""
    if isinstance(value, dict):
        value = [f"{name}={text if isinstance(text, str) else to_json(text)}" for name, text in value.items()]
    given = value if isinstance(value, list) else [value]
    texts = [text for text in given if isinstance(text, str)]
    if len(texts) < len(given):
        raise InvalidWaitConfigurationError(f"{key!r} must be a string, or a list of strings")
    return texts


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
    known = {"type"}.union(*map(parameters_of, FORMS))
    for name in header:
        if name.replace("_", "-") not in known and not name.startswith("context."):
            raise _unknown(name, known)
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
            fields[name] = [*_texts(name, fields[name]), cell]
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
        database = _database(session, stack, dry_run=dry_run)
        stream = stack.enter_context(open_input(file, InvalidWaitConfigurationError))
        run = _Run(session, WaitSchedulingService(database, actor=session.actor, settings=session.settings()), output)
        show = stack.enter_context(progress(stream, output))
        stop = stack.enter_context(stopping.Stoppable(database.patience.hurry))
        held = stop.input(stream)
        is_csv = chosen is FileFormat.CSV
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


def _database(session: Session, stack: ExitStack, *, dry_run: bool) -> Database:
    """The database; for a dry run without one, one that is thrown away."""
    database = stack.enter_context(session.database(create=not dry_run))
    if not dry_run or database.path is None or database.path.exists():
        return database
    import tempfile

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="waitctl-")))
    return stack.enter_context(Database(f"sqlite:///{folder / 'waitctl.db'}", as_of=database.as_of))


def totals_line(totals: CreateTotals) -> str:
    """The totals in words."""
    return (
        f"{totals.received:,} received, {totals.created:,} created, {totals.existing:,} there already, "
        f"{totals.rejected:,} rejected"
    )


class _Run:
    """One file, and what has become of it so far."""

    def __init__(self, session: Session, service: WaitSchedulingService, output: Output) -> None:
        self.reader = LineReader(session)
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
    ) -> Iterator[WaitRequest | WaitStepError]:
        read, numbered = self.reader.read, self._numbers.append
        for number, line in lines:
            numbered(number)
            unnamed = self.reader.unnamed
            try:
                request = read(number, parse(line))
                if explain and self._explanation is None:
                    self._explain(request)
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
