"""`waitctl bulk`: change many waits at once, by a plan that is looked at, applied, and undone."""

from __future__ import annotations

from typing import Annotated

import typer

from waitctl.application.operations.bulk import SAMPLE, BulkService, entry_document, plan_document
from waitctl.application.waits.planning import MoveOptions
from waitctl.cli.filters import AllOption, Filters, require_some, takes_filters
from waitctl.cli.listing import Listing, Rows, print_rows, takes_listing
from waitctl.cli.output import Output, OutputOption, count, print_card, print_document, say, tail, write_line
from waitctl.cli.session import Session, session_of
from waitctl.cli.tables import Column, id_column, print_table
from waitctl.domain.instants import format_instant
from waitctl.domain.plans import Fate, Plan, PlanKind
from waitctl.domain.text import JsonObject, to_json
from waitctl.infrastructure.store.plans import Entry

app = typer.Typer(help="Change many waits at once: plan, apply, undo.", no_args_is_help=True, add_completion=False)

PlanArgument = Annotated[
    str, typer.Argument(metavar="PLAN", help="A plan's id, or its first or last 8 or more characters.")
]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why, for the audit trail.")]


def _service(session: Session) -> BulkService:
    return BulkService(session.database(), actor=session.actor, settings=session.settings())


@app.command("cancel")
@takes_filters
def cancel(
    *,
    context: typer.Context,
    everything: AllOption = False,
    filters: Filters,
    reason: ReasonOption = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Plan to cancel the open waits that a filter means.

    Nothing is changed before waitctl bulk apply. Example: waitctl bulk cancel --workflow spring --reason 'wrong list'
    """
    _plan(context, PlanKind.CANCEL, filters, None, reason, output, everything=everything)


@app.command("resume")
@takes_filters
def resume(
    *,
    context: typer.Context,
    everything: AllOption = False,
    filters: Filters,
    reason: ReasonOption = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Plan to resume the open waits that a filter means.

    Their handlers will run with outcome manual, and there is no undo. Example: waitctl bulk resume --workflow spring
    """
    _plan(context, PlanKind.RESUME, filters, None, reason, output, everything=everything)


@app.command("reschedule")
@takes_filters
def reschedule(
    *,
    context: typer.Context,
    everything: AllOption = False,
    filters: Filters,
    at: Annotated[
        str | None, typer.Option("--at", metavar="INSTANT", help="RFC 3339, or a local time in each wait's zone.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="±DURATION", help="Move them, as in +2h or -1d.")] = None,
    window: Annotated[
        str | None, typer.Option("--window", metavar="HOURS", help="Another window, as in 'mon-fri 09:00-17:00'; none.")
    ] = None,
    spread: Annotated[
        str | None,
        typer.Option("--spread", metavar="DURATION", help="Spread them over so much, each by its share."),
    ] = None,
    reason: ReasonOption = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Plan to give the open waits that a filter means another instant or window.

    As waitctl reschedule does for each of them. Example: waitctl bulk reschedule --workflow spring --by +2h
    """
    moves = MoveOptions(at, by, window, spread)
    _plan(context, PlanKind.RESCHEDULE, filters, moves, reason, output, everything=everything)


@app.command("retry")
@takes_filters
def retry(
    *,
    context: typer.Context,
    everything: AllOption = False,
    filters: Filters,
    reason: ReasonOption = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Plan to retry the dead deliveries of the waits that a filter means.

    Example: waitctl bulk retry --handler nudge
    """
    _plan(context, PlanKind.RETRY, filters, None, reason, output, everything=everything)


def _plan(
    context: typer.Context,
    kind: PlanKind,
    filters: Filters,
    moves: MoveOptions | None,
    reason: str | None,
    output: Output,
    *,
    everything: bool,
) -> None:
    wanted = filters.wanted
    require_some(wanted, everything=everything)
    service = _service(session_of(context))
    plan = service.plan(kind, wanted, moves=moves, reason=reason)
    sample = service.list_entries(plan)
    document = {
        "plan_id": plan.id,
        "matched": plan.matched,
        "sample": [entry_document(entry) for entry in sample],
        "expires_at": format_instant(plan.expires_at),
    }

    def human() -> None:
        _print_entries(sample)
        write_line(f"{plan.id}  {kind} {count(plan.matched, 'wait')}")
        if impossible := plan.fates.get(Fate.IMPOSSIBLE):
            say(f"{count(impossible, 'of them cannot be', 'of them cannot be')} moved so", always=True)
        say(f"nothing was changed; waitctl bulk apply {tail(plan.id)} does it")

    print_document(document, output, human=human, id_key="plan_id")


@app.command("apply")
def apply(
    context: typer.Context,
    plan: PlanArgument,
    cap: Annotated[int | None, typer.Option("--max", metavar="N", min=0, help="Refuse a plan of more waits.")] = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Do what a plan says, once, to the waits that are still as it has seen them.

    Where it was interrupted, the same command goes on. Example: waitctl bulk apply 6f2b9c01d3aa --max 1000
    """
    done = _service(session_of(context)).apply(plan, cap=cap)
    document = {"plan_id": done.id, "applied": done.applied, "skipped": done.skipped}
    _print_done(document, output, f"{count(done.applied, 'wait')} changed", done.skipped)


@app.command("undo")
def undo(context: typer.Context, plan: PlanArgument, output: OutputOption = Output.HUMAN) -> None:
    """Make the waits that a plan has cancelled or moved what they were.

    But those that something has touched since. Example: waitctl bulk undo 6f2b9c01d3aa
    """
    done = _service(session_of(context)).undo(plan)
    document = {"plan_id": done.id, "undone": done.undone, "skipped": done.kept}
    _print_done(document, output, f"{count(done.undone, 'wait')} as before", done.kept)


def _print_done(document: JsonObject, output: Output, said: str, skipped: dict[str, int]) -> None:
    def human() -> None:
        left = ", ".join(f"{number:,} {fate}" for fate, number in skipped.items())
        write_line(said + (f", left as they are: {left}" if left else ""))

    print_document(document, output, human=human, id_key="plan_id")


PLAN_ROWS: Rows[Plan] = Rows(
    key="plans",
    id_key="plan_id",
    fields=(
        *("plan_id", "action", "status", "options", "reason", "created_by", "created_at", "expires_at"),
        *("applied_at", "undone_at", "matched", "applied", "skipped", "undone", "kept"),
    ),
    document=plan_document,
    columns=(
        id_column("PLAN"),
        Column("ACTION", 6, whole=True),
        Column("STATUS", 7, whole=True),
        Column("WAITS", 5, whole=True),
        Column("APPLIED", 4, whole=True),
        Column("CREATED", 3, whole=True),
        Column("BY", 1),
        Column("REASON", 2),
    ),
    cells=lambda each: (
        tail(each.id),
        each.kind,
        each.status,
        f"{each.matched:,}",
        f"{each.applied:,}",
        format_instant(each.created_at),
        each.created_by,
        each.said_reason,
    ),
    nothing="no plans",
)


@app.command("list")
@takes_listing
def list_(
    *,
    context: typer.Context,
    after: Annotated[str | None, typer.Option("--after", metavar="ID", help="The page after this plan.")] = None,
    listing: Listing,
) -> None:
    """List plans, newest first; each is kept for 30 days.

    Example: waitctl bulk list
    """
    service = _service(session_of(context))

    def page(behind: str | None, size: int) -> list[Plan]:
        return service.list_plans(limit=size, after=behind)

    print_rows(PLAN_ROWS, listing.pages(page, lambda each: each.id, after), listing, paged=True)


@app.command("show")
def show(
    context: typer.Context,
    plan: PlanArgument,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="So many of its waits.")] = SAMPLE,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Show a plan, and what became of it.

    Example: waitctl bulk show 6f2b9c01d3aa
    """
    service = _service(session_of(context))
    found = service.get_plan(plan)
    sample = service.list_entries(found, limit=limit)

    def human() -> None:
        print_card(
            f"{found.id}  {found.kind}  {found.status}",
            (
                ("waits", f"{found.matched:,}"),
                ("meant", to_json(found.options)),
                ("reason", found.said_reason),
                ("by", found.created_by),
                ("created", format_instant(found.created_at)),
                ("expires", format_instant(found.expires_at)),
                ("applied", found.applied_at and f"{found.applied:,} at {format_instant(found.applied_at)}"),
                ("skipped", ", ".join(f"{number:,} {fate}" for fate, number in found.skipped.items())),
                ("undone", found.undone_at and f"{found.undone:,} at {format_instant(found.undone_at)}"),
                ("not undone", ", ".join(f"{number:,} {fate}" for fate, number in found.kept.items())),
            ),
        )
        _print_entries(sample)

    document = plan_document(found) | {"sample": [entry_document(entry) for entry in sample]}
    print_document(document, output, human=human, id_key="plan_id")


def _print_entries(entries: list[Entry]) -> None:
    if not entries:
        return
    columns = (
        *(id_column("WAIT"), Column("EXECUTION", 4), Column("STEP", 3), Column("STATUS", 5, whole=True)),
        *(Column("FROM", 3, whole=True), Column("TO", 6, whole=True), Column("OUTCOME", 7)),
    )
    print_table(columns, map(_row, entries))


def _row(entry: Entry) -> tuple[object, ...]:
    before, after = (at and format_instant(at) for at in (entry.due_before, entry.due_after))
    outcome = entry.note or entry.undone_fate or entry.fate
    return tail(entry.wait_id), entry.workflow_execution_id, entry.step_id, entry.from_status, before, after, outcome
