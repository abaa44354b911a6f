"""`waitctl simulate`: play through what would happen, on a copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Annotated

import typer

from waitctl.application.events.ndjson import read_lines
from waitctl.application.operations.expectations import Expectation
from waitctl.application.operations.simulation import FIELDS, Ending, PlayedEvent, Simulation, copied, read_events
from waitctl.cli.listing import Rows, Shape, print_rows, takes_shape
from waitctl.cli.output import ExitCode, clean, count, print_document, status_text, tail, write_line
from waitctl.cli.session import Session, session_of
from waitctl.cli.streams import open_input, words_only
from waitctl.cli.tables import Column, id_column
from waitctl.domain.errors import InvalidEventError, InvalidSettingError
from waitctl.domain.filters import meant_instant, parse_when
from waitctl.domain.instants import format_instant
from waitctl.infrastructure.config import Settings, load_settings
from waitctl.infrastructure.database import Database

app = typer.Typer(add_completion=False)

ROWS: Rows[Ending] = Rows(
    key="endings",
    id_key="id",
    fields=FIELDS,
    document=Ending.to_json,
    columns=(
        Column("AT", 9, whole=True),
        Column("RESOLUTION", 8, whole=True),
        Column("EXECUTION", 7),
        Column("STEP", 5),
        Column("CONTACT", 3),
        Column("EVENT", 4),
        Column("HANDLER", 6),
        id_column("WAIT"),
    ),
    cells=lambda each: (
        format_instant(each.at),
        status_text(each.wait.resolution),
        each.wait.workflow_execution_id,
        each.wait.step_id,
        each.wait.contact_id,
        each.wait.event_type,
        each.wait.handler,
        tail(each.wait.id),
    ),
    nothing="nothing would end until then",
)


@app.command("simulate")
@takes_shape
def simulate(
    *,
    context: typer.Context,
    until: Annotated[
        str, typer.Option("--until", metavar="T", help="Up to when: an instant, or 30d for so long from now.")
    ],
    events: Annotated[
        str | None,
        typer.Option("--events", metavar="FILE|-", help="Events to play, as ingest has them, with their at."),
    ] = None,
    expect: Annotated[
        str | None, typer.Option("--expect", metavar="FILE", help="What is to end; exit 1 with a diff when it is not.")
    ] = None,
    handlers: Annotated[
        str | None, typer.Option("--handlers", metavar="FILE", help="A config file whose handlers do run, on the copy.")
    ] = None,
    shape: Shape,
) -> None:
    """Show what would end, in order, by playing a copy of the database through.

    Nothing of the database itself changes, and no handler runs but those of --handlers: all else counts as delivered.
    Example: waitctl simulate --until 30d --events answers.ndjson
    """
    session = session_of(context)
    expected = None if expect is None else _expectation(expect)
    played = [] if events is None else _events(events)
    settings = _settings(session, handlers)
    with session.database() as database, copied(database, settings) as copy:
        endings = _quietly(Simulation(copy, settings, played).run(_end(until, copy)))
        if expected is None:
            print_rows(ROWS, endings, shape)
            return
        found = list(endings)
    raise typer.Exit(_compare(expected, found, shape))


def _settings(session: Session, handlers: str | None) -> Settings:
    """The settings with the handlers of that file alone."""
    if handlers is None:
        return replace(session.settings(), handlers={})
    given = load_settings(database_url="sqlite:///none", config=handlers)
    return replace(session.settings(), handlers=given.handlers, config_file=given.config_file)


def _end(until: str, copy: Database) -> datetime:
    assert copy.as_of is not None
    return meant_instant(parse_when(until, "--until"), copy.as_of)


def _events(file: str) -> list[PlayedEvent]:
    with open_input(file) as stream:
        try:
            return read_events(read_lines(stream))
        except InvalidEventError as error:
            raise InvalidEventError(f"--events {clean(file)}: {error.message}", hint=error.hint) from error


def _expectation(file: str) -> Expectation:
    with open_input(file, InvalidSettingError) as stream:
        try:
            return Expectation(read_lines(stream))
        except InvalidSettingError as error:
            raise InvalidSettingError(f"--expect {clean(file)}: {error.message}", hint=error.hint) from error


def _quietly(endings: Iterator[Ending]) -> Iterator[Ending]:
    """The endings; what handlers print meanwhile is words."""
    while True:
        with words_only():
            ending = next(endings, None)
        if ending is None:
            return
        yield ending


def _compare(expected: Expectation, found: list[Ending], shape: Shape) -> ExitCode:
    difference = expected.difference(found)
    document = {"matches": not difference, "expected": len(expected), "ended": len(found), "diff": difference}

    def human() -> None:
        for line in difference or [f"{count(len(found), 'wait')} would end as expected"]:
            write_line(clean(line))

    print_document(document, shape.output, human=human)
    return ExitCode.FAILURE if difference else ExitCode.OK
