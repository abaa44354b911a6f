"""`waitctl event`: record and ingest events, and look at them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from waitctl.application.documents import EVENT_FIELDS, event_document
from waitctl.application.events.recording import EventService
from waitctl.cli import event_record, ingest, quarantine
from waitctl.cli.listing import Listing, Rows, Shape, print_rows, takes_listing, takes_shape
from waitctl.cli.output import (
    Output,
    OutputOption,
    print_card,
    print_document,
    relative,
    tail,
    write_line,
)
from waitctl.cli.session import Session, session_of
from waitctl.cli.tables import Column, id_column
from waitctl.cli.why import event_why
from waitctl.domain.events import Event
from waitctl.domain.filters import meant_instant, parse_when
from waitctl.domain.instants import format_instant
from waitctl.domain.text import to_json

app = typer.Typer(help="Record events and look at them.", no_args_is_help=True, add_completion=False)
types = typer.Typer(help="List, add and remove event types.", invoke_without_command=True, add_completion=False)
app.add_typer(types, name="types")
app.add_typer(quarantine.app, name="quarantine")
app.command("why")(event_why)
app.command("record")(event_record.record)


def _service(session: Session, *, create: bool = False) -> EventService:
    return EventService(session.database(create=create), actor=session.actor, settings=session.settings())


app.command("ingest")(ingest.ingest)
app.command("providers")(ingest.list_providers)


@app.command("list")
@takes_listing
def list_(
    *,
    context: typer.Context,
    event_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only of this type.")] = None,
    contact: Annotated[str | None, typer.Option("-c", "--contact", metavar="ID", help="Only of them.")] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="T", help="Only received then or later: an instant, or -2h ago."),
    ] = None,
    unmatched: Annotated[bool, typer.Option("--unmatched", help="Only those that no wait took.")] = False,
    after: Annotated[str | None, typer.Option("--after", metavar="ID", help="The page after this event.")] = None,
    listing: Listing,
) -> None:
    """List events, newest first.

    On a terminal the first 50, else all. Example: waitctl event list --contact ada@example.org --unmatched
    """
    when = None if since is None else parse_when(since, "--since")
    with session_of(context).database() as database:
        service = EventService(database)
        with database.read() as connection:
            now = database.clock(connection)

        def page(behind: str | None, size: int) -> list[Event]:
            return service.list_events(
                event_type=event_type,
                contact=contact,
                since=None if when is None else meant_instant(when, now),
                unmatched=unmatched,
                limit=size,
                after=behind,
            )

        print_rows(_event_rows(now), listing.pages(page, lambda each: each.id, after), listing, paged=True)


def _event_rows(now: datetime) -> Rows[Event]:
    return Rows(
        key="events",
        id_key="event_id",
        fields=EVENT_FIELDS,
        document=event_document,
        columns=(
            id_column("EVENT"),
            Column("TYPE", 6),
            Column("CONTACT", 5),
            Column("SOURCE", 2),
            Column("RECEIVED", 3, whole=True),
            Column("RESUMED", 4, whole=True),
            Column("THEIR ID", 1, extra=True),
            Column("OCCURRED", 1, extra=True),
            Column("DATA", 1, extra=True),
        ),
        cells=lambda each: (
            tail(each.id),
            each.event_type,
            each.contact_id,
            each.source,
            relative(each.received_at, now) if each.received_at else "",
            _resumed(each.matched),
            each.external_id,
            each.occurred_at and format_instant(each.occurred_at),
            to_json(each.data) if each.data else None,
        ),
        nothing="no events",
    )


def _resumed(wait_ids: Sequence[str]) -> str:
    """The first of the waits, whole, and how many more there are."""
    more = f" +{len(wait_ids) - 1}" if len(wait_ids) > 1 else ""
    return tail(wait_ids[0]) + more if wait_ids else ""


@app.command("show")
def show(
    context: typer.Context,
    event: Annotated[
        str,
        typer.Argument(metavar="EVENT", help="An event's id, or its first or last 8 or more characters."),
    ],
    output: OutputOption = Output.HUMAN,
) -> None:
    """Show one event.

    Example: waitctl event show 6f2b9c01d3aa
    """
    with session_of(context).database() as database:
        found = EventService(database).get_event(event)
    print_document(event_document(found), output, human=lambda: _print_event(found), id_key="event_id")


def _print_event(event: Event) -> None:
    print_card(
        f"{event.event_type} of {event.contact_id}",
        [
            ("event", event.id),
            ("source", event.source),
            ("their id", event.external_id),
            ("occurred", event.occurred_at and format_instant(event.occurred_at)),
            ("received", event.received_at and format_instant(event.received_at)),
            ("data", to_json(event.data) if event.data else None),
            ("resumed", ", ".join(event.matched)),
        ],
    )


@types.callback()
@takes_shape
def types_root(*, context: typer.Context, shape: Shape) -> None:
    """List, add and remove event types.

    Example: waitctl event types
    """
    if context.invoked_subcommand is None:
        _list_types(context, shape)


@types.command("list")
@takes_shape
def types_list(*, context: typer.Context, shape: Shape) -> None:
    """List the registered event types.

    Example: waitctl event types list -o json
    """
    _list_types(context, shape)


_TYPE_ROWS: Rows[tuple[str, str, bool]] = Rows(
    key="event_types",
    id_key="name",
    fields=("name", "description", "builtin"),
    document=lambda each: {"name": each[0], "description": each[1], "builtin": each[2]},
    columns=(id_column("TYPE"), Column("MEANING", 1)),
    cells=lambda each: each[:2],
    nothing="no event types",
)


def _list_types(context: typer.Context, shape: Shape) -> None:
    with session_of(context).database() as database:
        print_rows(_TYPE_ROWS, EventService(database).list_types(), shape)


@types.command("add")
def types_add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As in cart_abandoned.")],
    description: Annotated[str, typer.Option("--description", help="What such an event says.")] = "",
) -> None:
    """Register an event type of one's own.

    Example: waitctl event types add cart_abandoned --description 'a cart was left behind'
    """
    new = _service(session_of(context), create=True).add_type(name, description)
    write_line(f"{name}  {'added' if new else 'is registered already'}")


@types.command("remove")
def types_remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="One's own.")],
) -> None:
    """Forget an event type of one's own that no open wait listens to.

    Example: waitctl event types remove cart_abandoned
    """
    _service(session_of(context)).remove_type(name)
    write_line(f"{name}  removed")
