"""`waitctl delivery`: look at deliveries, and put dead ones right."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from waitctl.application.deliveries.handler_factory import handlers_of, why_held
from waitctl.application.deliveries.outbox import DeliveryService
from waitctl.application.deliveries.pausing import PauseService
from waitctl.application.documents import BACKLOG_FIELDS, DELIVERY_FIELDS, backlog_document, delivery_document
from waitctl.application.inline_commands import InlineCommands
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.cli.listing import Listing, Rows, Shape, print_rows, takes_listing, takes_shape
from waitctl.cli.output import (
    STATUS_STYLES,
    ExitCode,
    Output,
    OutputOption,
    clean,
    for_each,
    local,
    print_card,
    print_document,
    print_list,
    say,
    shortened,
    status_text,
    tail,
    write_line,
)
from waitctl.cli.session import session_of
from waitctl.cli.tables import Column, id_column
from waitctl.domain.deliveries import Backlog, Delivery
from waitctl.domain.handlers import INLINE
from waitctl.domain.instants import format_instant
from waitctl.domain.pauses import Paused
from waitctl.domain.statuses import DeliveryStatus

app = typer.Typer(help="Look at deliveries, and put dead ones right.", no_args_is_help=True, add_completion=False)

DeliveriesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID…", help="Ids, or their first or last 8 or more characters."),
]


HandlerOption = Annotated[str | None, typer.Option("--handler", metavar="NAME", help="Only to this handler.")]


DELIVERY_ROWS: Rows[Delivery] = Rows(
    key="deliveries",
    id_key="delivery_id",
    fields=DELIVERY_FIELDS,
    document=delivery_document,
    columns=(
        id_column("DELIVERY"),
        Column("WAIT", 6, whole=True),
        Column("HANDLER", 5),
        Column("OUTCOME", 3, whole=True),
        Column("STATUS", 7, whole=True),
        Column("ATTEMPT", 2, whole=True),
        Column("LAST ERROR", 4),
        Column("CREATED", 1, extra=True),
        Column("NEXT ATTEMPT", 1, extra=True),
        Column("DELIVERED", 1, extra=True),
    ),
    cells=lambda each: (
        tail(each.id),
        tail(each.wait_id),
        each.handler,
        each.outcome,
        status_text(each.status),
        f"{each.attempt}/{each.max_attempts}" if each.max_attempts else str(each.attempt),
        shortened(each.last_error),
        format_instant(each.created_at),
        format_instant(each.next_attempt_at) if each.status is DeliveryStatus.PENDING else None,
        each.delivered_at and format_instant(each.delivered_at),
    ),
    nothing="no deliveries",
)


@app.command("list")
@takes_listing
def list_(
    *,
    context: typer.Context,
    status: Annotated[
        list[DeliveryStatus] | None, typer.Option("--status", help="Only in this status (repeatable).")
    ] = None,
    handler: HandlerOption = None,
    after: Annotated[str | None, typer.Option("--after", metavar="ID", help="The page after this delivery.")] = None,
    listing: Listing,
) -> None:
    """List deliveries, newest first.

    On a terminal the first 50, else all. Example: waitctl delivery list --status dead
    """
    with session_of(context).database() as database:
        service = DeliveryService(database)

        def page(behind: str | None, size: int) -> list[Delivery]:
            return service.list_deliveries(status or (), handler=handler, limit=size, after=behind)

        print_rows(DELIVERY_ROWS, listing.pages(page, lambda each: each.id, after), listing, paged=True)


@app.command("handlers")
@takes_shape
def handlers(*, context: typer.Context, shape: Shape) -> None:
    """Show what each handler has before it.

    Example: waitctl delivery handlers
    """
    session = session_of(context)
    with session.database() as database:
        inline = InlineCommands(session.settings(), database)
        known = {config.name for config in handlers_of(session.settings(), database)}
        with database.read() as connection:
            if inline.count_not_ours(connection):
                known.discard(INLINE)
        found = DeliveryService(database).list_backlogs(known - {INLINE})
        paused = Paused.of(PauseService(database).list_pauses())

    def is_held(handler: str) -> bool:
        return paused.everything or handler in paused.handlers or handler not in known

    def held(handler: str) -> str:
        return "held: " + why_held(handler, paused, known, inline) if is_held(handler) else "known"

    rows: Rows[Backlog] = Rows(
        key="handlers",
        id_key="handler",
        fields=(*BACKLOG_FIELDS, "held"),
        document=lambda each: backlog_document(each, known=each.handler in known) | {"held": is_held(each.handler)},
        columns=(
            id_column("HANDLER"),
            Column("PENDING", 6, whole=True),
            Column("DUE", 4, whole=True),
            Column("FAILING", 3, whole=True),
            Column("RUNNING", 2, whole=True),
            Column("DEAD", 7, whole=True),
            Column("ON THIS HOST", 5),
        ),
        cells=lambda each: (
            each.handler,
            *(f"{number:,}" for number in (each.pending, each.due, each.failing, each.running, each.dead)),
            held(each.handler),
        ),
        nothing="no handlers",
    )
    print_rows(rows, found, shape)


@app.command("show")
def show(
    context: typer.Context,
    delivery: Annotated[
        str,
        typer.Argument(metavar="ID", help="A delivery's id, or its first or last 8 or more characters."),
    ],
    output: OutputOption = Output.HUMAN,
) -> None:
    """Show one delivery.

    Example: waitctl delivery show 6f2b9c01d3aa
    """
    with session_of(context).database() as database:
        service = DeliveryService(database)
        found = service.get_delivery(delivery)
        said = service.get_output(found)
        wait = WaitSchedulingService(database).get_wait_status(found.wait_id)
    zone, now = wait.wait.timezone, wait.now
    document = delivery_document(found) | {"output": said and said[0]}
    print_document(document, output, human=lambda: _print_delivery(found, said, zone, now), id_key="delivery_id")


def _print_delivery(delivery: Delivery, said: tuple[str, int] | None, zone: str, now: datetime) -> None:
    print_card(
        f"{delivery.outcome} to {delivery.handler}  {delivery.status}",
        [
            ("delivery", delivery.id),
            ("wait", delivery.wait_id),
            ("tells of", delivery.dead_delivery_id),
            ("attempt", f"{delivery.attempt} of {delivery.max_attempts or '?'}"),
            (
                "next attempt",
                local(delivery.next_attempt_at, zone, now) if delivery.status is DeliveryStatus.PENDING else None,
            ),
            ("lease until", local(delivery.lease_expires_at, zone, now)),
            ("last error", delivery.last_error),
            ("created", local(delivery.created_at, zone, now)),
            ("delivered", local(delivery.delivered_at, zone, now)),
        ],
        style=STATUS_STYLES[delivery.status],
    )
    if said is not None:
        text, attempt = said
        write_line(f"output of attempt {attempt}:")
        for line in text.splitlines():
            write_line(f"  {clean(line)}")


@app.command("retry")
def retry(
    context: typer.Context,
    deliveries: DeliveriesArgument = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="Every dead delivery.")] = False,
    handler: HandlerOption = None,
    workflow: Annotated[
        str | None, typer.Option("-w", "--workflow", metavar="ID", help="Only of this workflow's waits.")
    ] = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Make deliveries due now, their attempts so far forgiven.

    By --handler or --workflow: the dead ones. Example: waitctl delivery retry --all-dead
    """
    every = all_dead or handler is not None or workflow is not None
    if bool(deliveries) == every:
        raise typer.BadParameter("name either deliveries or --all-dead, --handler, --workflow", param_hint="ID…")
    session = session_of(context)
    with session.database() as database:
        service = DeliveryService(database, actor=session.actor)
        if every:
            done, worst = service.retry_dead(handler=handler, workflow_id=workflow), ExitCode.OK
        else:
            done, worst = for_each(deliveries or [], service.retry, output)
    _print_done(done, "due now", output)
    raise typer.Exit(worst)


@app.command("drop")
def drop(context: typer.Context, deliveries: DeliveriesArgument = None, output: OutputOption = Output.HUMAN) -> None:
    """Give deliveries up; they are kept as dropped.

    Example: waitctl delivery drop 6f2b9c01d3aa
    """
    if not deliveries:
        raise typer.BadParameter("name a delivery", param_hint="ID…")
    session = session_of(context)
    with session.database() as database:
        service = DeliveryService(database, actor=session.actor)
        done, worst = for_each(deliveries, service.drop, output)
    _print_done(done, "dropped", output)
    raise typer.Exit(worst)


def _print_done(done: list[Delivery], verb: str, output: Output) -> None:
    def human(_: object) -> None:
        for each in done:
            write_line(f"{each.id}  {verb}")
        if not done:
            say(f"nothing {verb}")

    print_list(
        [delivery_document(each) for each in done],
        output,
        whole=lambda rows: {"deliveries": rows},
        human=human,
        id_key="delivery_id",
    )
