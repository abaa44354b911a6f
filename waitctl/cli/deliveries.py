"""`waitctl delivery`: look at deliveries, and put dead ones right."""

from __future__ import annotations

from typing import Annotated

import typer

from waitctl.application.deliveries.handler_factory import handlers_of, why_held
from waitctl.application.deliveries.outbox import DeliveryService
from waitctl.application.deliveries.pausing import PauseService
from waitctl.application.documents import backlog_document, delivery_document
from waitctl.application.inline_commands import InlineCommands
from waitctl.cli.output import (
    STATUS_STYLES,
    ExitCode,
    Output,
    OutputOption,
    clean,
    for_each,
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
from waitctl.cli.tables import Column, id_column, print_table
from waitctl.domain.deliveries import Delivery, DeliveryStatus
from waitctl.domain.handlers import INLINE
from waitctl.domain.instants import format_instant
from waitctl.domain.pauses import Paused

app = typer.Typer(help="Look at deliveries, and put dead ones right.", no_args_is_help=True, add_completion=False)

DeliveriesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="ID…", help="Ids, or their first or last 8 or more characters.")
]


HandlerOption = Annotated[str | None, typer.Option("--handler", metavar="NAME", help="Only to this handler.")]


@app.command("list")
def list_(
    context: typer.Context,
    status: Annotated[
        list[DeliveryStatus] | None, typer.Option("--status", help="Only in this status (repeatable).")
    ] = None,
    handler: HandlerOption = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="How many at most.")] = 50,
    output: OutputOption = Output.HUMAN,
) -> None:
    """List deliveries, newest first.

    Example: waitctl delivery list --status dead
    """
    with session_of(context).database() as database:
        found = DeliveryService(database).list_deliveries(status or (), handler=handler, limit=limit)

    def human(_: object) -> None:
        if not found:
            say("no deliveries")
            return
        print_table(
            (
                id_column("DELIVERY"),
                Column("WAIT", 6, whole=True),
                Column("HANDLER", 5),
                Column("OUTCOME", 3, whole=True),
                Column("STATUS", 7, whole=True),
                Column("ATTEMPT", 2, whole=True),
                Column("LAST ERROR", 4),
            ),
            (
                (
                    tail(each.id),
                    tail(each.wait_id),
                    each.handler,
                    each.outcome,
                    status_text(each.status),
                    f"{each.attempt}/{each.max_attempts}" if each.max_attempts else str(each.attempt),
                    shortened(each.last_error),
                )
                for each in found
            ),
        )

    print_list(
        [delivery_document(each) for each in found],
        output,
        whole=lambda rows: {"deliveries": rows},
        human=human,
        id_key="delivery_id",
    )


@app.command("handlers")
def handlers(context: typer.Context, output: OutputOption = Output.HUMAN) -> None:
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

    def human(_: object) -> None:
        if not found:
            say("no handlers")
            return
        print_table(
            (
                id_column("HANDLER"),
                Column("PENDING", 6, whole=True),
                Column("DUE", 4, whole=True),
                Column("FAILING", 3, whole=True),
                Column("RUNNING", 2, whole=True),
                Column("DEAD", 7, whole=True),
                Column("ON THIS HOST", 5),
            ),
            (
                (
                    each.handler,
                    *(f"{count:,}" for count in (each.pending, each.due, each.failing, each.running, each.dead)),
                    "held: " + why_held(each.handler, paused, known, inline) if is_held(each.handler) else "known",
                )
                for each in found
            ),
        )

    print_list(
        [backlog_document(each, known=each.handler in known) | {"held": is_held(each.handler)} for each in found],
        output,
        whole=lambda rows: {"handlers": rows},
        human=human,
        id_key="handler",
    )


@app.command("show")
def show(
    context: typer.Context,
    delivery: Annotated[
        str, typer.Argument(metavar="ID", help="A delivery's id, or its first or last 8 or more characters.")
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
    document = delivery_document(found) | {"output": said and said[0]}
    print_document(document, output, human=lambda: _print_delivery(found, said), id_key="delivery_id")


def _print_delivery(delivery: Delivery, said: tuple[str, int] | None) -> None:
    print_card(
        f"{delivery.outcome} to {delivery.handler}  {delivery.status}",
        [
            ("delivery", delivery.id),
            ("wait", delivery.wait_id),
            ("tells of", delivery.dead_delivery_id),
            ("attempt", f"{delivery.attempt} of {delivery.max_attempts or '?'}"),
            (
                "next attempt",
                format_instant(delivery.next_attempt_at) if delivery.status is DeliveryStatus.PENDING else None,
            ),
            ("lease until", delivery.lease_expires_at and format_instant(delivery.lease_expires_at)),
            ("last error", delivery.last_error),
            ("created", format_instant(delivery.created_at)),
            ("delivered", delivery.delivered_at and format_instant(delivery.delivered_at)),
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
