"""Why events and waits did not come together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from waitctl.cli.output import (
    DocumentOption,
    Output,
    clean,
    print_document,
    relative,
    say,
    tail,
    write_line,
)
from waitctl.cli.session import WaitArgument, session_of
from waitctl.cli.tables import Column, id_column, print_table

if TYPE_CHECKING:
    from waitctl.application.diagnosis import NearMiss

app = typer.Typer(add_completion=False)

LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=100, help="How many misses at most.")]


@app.command("why")
def why(
    context: typer.Context, wait: WaitArgument, limit: LimitOption = 10, output: DocumentOption = Output.HUMAN
) -> None:
    """Say what a wait is still waiting for, and which events nearly ended it.

    Of each event the first term that failed: its time, --match, --where. Example: waitctl why 6f2b9c01d3aa
    """
    from waitctl.application.diagnosis import WhyService

    with session_of(context).database() as database:
        found = WhyService(database).why_wait(wait, limit=limit)

    def human() -> None:
        write_line(clean(f"{found.wait.id}  {found.wait.status}"))
        write_line(clean(f"waiting {found.waiting_for}"))
        for listener in found.wait.listeners:
            if listener.diagnostic:
                write_line(clean(f"where: {listener.diagnostic}"))
        _print_misses(found.misses, "EVENT", lambda each: (tail(each.event.id), each.event.event_type), found.now)

    print_document(found.to_json(), output, human=human, id_key="id")


def event_why(
    context: typer.Context,
    event: Annotated[
        str, typer.Argument(metavar="EVENT", help="An event's id, or its first or last 8 or more characters.")
    ],
    limit: LimitOption = 10,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Say why an event did not end the waits that it nearly did.

    Example: waitctl event why 6f2b9c01d3aa
    """
    from waitctl.application.diagnosis import WhyService  # `event record` and `ingest` load this module, too

    with session_of(context).database() as database:
        found = WhyService(database).why_event(event, limit=limit)

    def human() -> None:
        write_line(clean(f"{found.event.id}  {found.event.event_type} of {found.event.contact_id}"))
        for wait_id in found.event.matched:
            write_line(f"matched  {wait_id}")
        _print_misses(found.misses, "WAIT", lambda each: (tail(each.wait.id), each.event_type), found.now)

    print_document(found.to_json(), output, human=human, id_key="id")


def _print_misses(
    misses: Sequence[NearMiss], what: str, name: Callable[[NearMiss], tuple[str, str]], now: datetime
) -> None:
    rows = [(*name(each), relative(each.event.received_at or now, now), each.miss.reason) for each in misses]
    if rows:
        received, reason = Column("RECEIVED", 1, whole=True), Column("NOT MATCHED BECAUSE", 3)
        print_table((id_column(what), Column("TYPE", 2), received, reason), rows)
    else:
        say("nothing came near")
