"""`waitctl event record`: one event, as a script reports it. By itself, since scripts start it again and again."""

from __future__ import annotations

from typing import Annotated

import typer

from waitctl.application.events.recording import DEFAULT_SOURCE, EventService, make_event
from waitctl.application.events.results import RecordResult
from waitctl.cli.output import Output, OutputOption, count, print_document, write_line
from waitctl.cli.session import read_text_option, session_of
from waitctl.domain.errors import InvalidEventError
from waitctl.domain.instants import parse_instant, show_soon
from waitctl.domain.text import parse_json_object

app = typer.Typer(add_completion=False)
"""The group with this command alone: see `APART` of `app`."""


@app.command("record")
def record(
    context: typer.Context,
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="A registered event type.")],
    contact: Annotated[str, typer.Option("-c", "--contact", metavar="ID", help="Whom it happened to.")],
    data: Annotated[
        str | None, typer.Option("--data", metavar="JSON|@FILE|-", help="A JSON object: what happened.")
    ] = None,
    data_raw: Annotated[
        str | None, typer.Option("--data-raw", metavar="JSON", help="The same, but an @ or a - is only that.")
    ] = None,
    external_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The sender's id: the same one is recorded once.")
    ] = None,
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="Who reports it.")] = DEFAULT_SOURCE,
    at: Annotated[
        str | None, typer.Option("--at", metavar="INSTANT", help="When it happened, by the sender's clock (RFC 3339).")
    ] = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Record one event and resume the waits that it matches.

    What somebody else has written belongs behind --data-raw: --data reads the file that an @ names.
    Example: waitctl event record email_click --contact ada@example.org --data '{"url": "https://example.org/plan"}'
    """
    text = read_text_option("data", data, data_raw, "the data", InvalidEventError)
    value = None if text is None else parse_json_object(text, "the data", error=InvalidEventError)
    event = make_event(
        event_type,
        contact,
        data=value,
        external_id=external_id,
        source=source,
        occurred_at=None if at is None else parse_instant(at, "--at"),
    )
    session = session_of(context)
    service = EventService(session.database(create=True), actor=session.actor, settings=session.settings())
    result = service.record(event)

    def human() -> None:
        if result.duplicate:
            write_line(f"{result.event_id or '-'}  seen before: no effect")
            return
        write_line(f"{result.event_id}  {_became(result)}")
        for wait_id in (*result.matched, *(each.wait_id for each in result.held)):
            write_line(f"  {wait_id}")

    print_document(result.to_json(), output, human=human, id_key="event_id")


def _became(result: RecordResult) -> str:
    """As in ``recorded, 1 wait resumed, 1 wait held until Mon 2026-03-02 09:00 Europe/Berlin``."""
    said = ["recorded"]
    if result.matched or not result.held:
        said.append(f"{count(len(result.matched), 'wait')} resumed")
    until = sorted({show_soon(each.until, each.timezone) for each in result.held})
    if result.held:
        said.append(f"{count(len(result.held), 'wait')} held until {' and '.join(until)}")
    return ", ".join(said)
