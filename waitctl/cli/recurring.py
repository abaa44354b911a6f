"""`waitctl recurring`: look at waits that come again, pause and stop them."""

from __future__ import annotations

from typing import Annotated

import typer

from waitctl.application.waits.recurring import RecurrenceResult, RecurrenceService, recurrence_document
from waitctl.cli.output import (
    DocumentOption,
    Output,
    OutputOption,
    print_card,
    print_document,
    print_list,
    say,
    tail,
    write_line,
)
from waitctl.cli.session import Session, session_of
from waitctl.cli.tables import Column, id_column, print_table
from waitctl.domain.instants import format_instant, show
from waitctl.domain.recurrence import Recurrence, RecurrenceRule, RecurrenceStatus

app = typer.Typer(
    help="Look at waits that come again; pause and stop them.", no_args_is_help=True, add_completion=False
)

RecurrenceArgument = Annotated[
    str, typer.Argument(metavar="RECURRENCE", help="Its id, or its first or last 8 or more characters.")
]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why, for the audit trail.")]


def service_of(session: Session, *, create: bool = False) -> RecurrenceService:
    """The recurrences of the session's database."""
    return RecurrenceService(session.database(create=create), actor=session.actor, settings=session.settings())


def print_recurrence(result: RecurrenceResult, output: Output, *, dry_run: bool) -> None:
    """Print a recurrence that was created, or would be."""
    found = result.recurrence
    document = {**recurrence_document(found), "created": result.created}
    if dry_run:
        document["explanation"] = list(result.explanation)

    def human() -> None:
        for line in result.explanation if dry_run else ():
            write_line(line)
        if not dry_run:
            write_line(f"{found.id}  {'created' if result.created else 'exists'}  {found.status}")

    print_document(document, output, human=human, id_key="id")


@app.command("list")
def list_(
    context: typer.Context,
    status: Annotated[
        list[RecurrenceStatus] | None, typer.Option("--status", help="In this status (repeatable).")
    ] = None,
    execution: Annotated[str | None, typer.Option("-e", "--execution", metavar="ID", help="Of this execution.")] = None,
    contact: Annotated[str | None, typer.Option("-c", "--contact", metavar="ID", help="About this contact.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="At most so many; 0 is all.")] = 0,
    after: Annotated[str | None, typer.Option("--after", metavar="ID", help="Only older ones than this.")] = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """List recurrences, newest first.

    Example: waitctl recurring list --status active
    """
    found = service_of(session_of(context)).list_recurrences(
        statuses=status or (), execution=execution, contact=contact, limit=limit, after=after
    )

    def human(_: object) -> None:
        if not found:
            say("no recurrences")
            return
        columns = (
            *(id_column("ID"), Column("STATUS", 5, whole=True), Column("NEXT", 4, whole=True)),
            *(Column("RULE", 3), Column("EXECUTION", 2), Column("STEP", 1)),
        )
        print_table(columns, map(_row, found))

    print_list(
        [recurrence_document(each) for each in found],
        output,
        whole=lambda rows: {"recurrences": rows},
        human=human,
        id_key="id",
    )


@app.command("show")
def show_(context: typer.Context, recurrence: RecurrenceArgument, output: DocumentOption = Output.HUMAN) -> None:
    """Show a recurrence and when it comes next.

    Example: waitctl recurring show 6f2b9c01d3aa
    """
    service = service_of(session_of(context))
    found = service.get(recurrence)
    instants = service.upcoming(found)
    document = recurrence_document(found) | {"upcoming": [format_instant(at) for at in instants]}

    def human() -> None:
        print_card(
            f"{found.id}  {found.status}",
            (
                ("rule", RecurrenceRule.from_config(found.rule) if found.rule else None),
                ("execution", found.workflow_execution_id),
                ("step", found.step_id),
                ("contact", found.contact_id),
                ("handler", found.handler),
                ("occurrence", found.occurrence),
                ("wait", found.wait_id),
                ("stops on", found.stop_on),
                ("reason", found.reason),
                ("next", ", ".join(show(at, found.timezone) for at in instants) or None),
            ),
        )

    print_document(document, output, human=human, id_key="id")


@app.command("pause")
def pause(
    context: typer.Context,
    recurrence: RecurrenceArgument,
    reason: ReasonOption = None,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Cancel the open wait of a recurrence, and make none until it is unpaused.

    Example: waitctl recurring pause 6f2b9c01d3aa
    """
    _print(service_of(session_of(context)).pause(recurrence, reason=reason), output)


@app.command("unpause")
def unpause(context: typer.Context, recurrence: RecurrenceArgument, output: DocumentOption = Output.HUMAN) -> None:
    """Let a recurrence go on: its next wait is the first that is still to come.

    Example: waitctl recurring unpause 6f2b9c01d3aa
    """
    _print(service_of(session_of(context)).unpause(recurrence), output)


@app.command("stop")
def stop(
    context: typer.Context,
    recurrence: RecurrenceArgument,
    reason: ReasonOption = None,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Cancel the open wait of a recurrence, and make none again.

    Example: waitctl recurring stop 6f2b9c01d3aa --reason 'the customer left'
    """
    _print(service_of(session_of(context)).stop(recurrence, reason=reason), output)


def _row(each: Recurrence) -> tuple[object, ...]:
    rule = RecurrenceRule.from_config(each.rule) if each.rule else ""
    at = show(each.next_at, each.timezone) if each.next_at else None
    return tail(each.id), each.status, at, rule, each.workflow_execution_id, each.step_id


def _print(found: Recurrence, output: Output) -> None:
    print_document(
        recurrence_document(found), output, human=lambda: write_line(f"{found.id}  {found.status}"), id_key="id"
    )
