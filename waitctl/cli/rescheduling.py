"""Why a wait ends when it does, and how to change that."""

from __future__ import annotations

from typing import Annotated

import typer

from waitctl.application.documents import wait_document
from waitctl.application.waits.changes import Change, Replan
from waitctl.application.waits.rescheduling import ReschedulingService
from waitctl.application.waits.results import WaitStatus
from waitctl.cli.filters import AllOption, Filters, require_some, takes_filters
from waitctl.cli.output import (
    DocumentOption,
    ExitCode,
    Output,
    OutputOption,
    for_each,
    print_document,
    print_explanation,
    print_list,
    say,
    tail,
    write_line,
)
from waitctl.cli.session import Session, WaitArgument, read_text_argument, session_of
from waitctl.cli.tables import Column, id_column, print_table
from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.instants import show_local
from waitctl.domain.plans import Plan
from waitctl.domain.text import parse_json_object

app = typer.Typer(add_completion=False)


def _service(session: Session) -> ReschedulingService:
    return ReschedulingService(session.database(), actor=session.actor, settings=session.settings())


@app.command("explain")
def explain(context: typer.Context, wait: WaitArgument, output: DocumentOption = Output.HUMAN) -> None:
    """Say why a wait ends when it does.

    What was asked, every rule that moved the instant (gap, fold, weekend, holiday, window), and every change since.
    Example: waitctl explain 6f2b9c01d3aa
    """
    found, explanation = _service(session_of(context)).explain_wait(wait)
    document = {**found.to_json(), "explanation": list(explanation)}
    print_document(document, output, human=lambda: print_explanation(found.wait, explanation), id_key="id")


@app.command("reschedule")
def reschedule(
    context: typer.Context,
    waits: Annotated[list[str], typer.Argument(metavar="WAIT…", help="Ids, or their first or last 8 characters.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="INSTANT", help="RFC 3339, or a local time in the wait's zone.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="±DURATION", help="Move it, as in +2h or -1d.")] = None,
    window: Annotated[
        str | None, typer.Option("--window", metavar="HOURS", help="Another window, as in 'mon-fri 09:00-17:00'; none.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the audit trail.")] = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Give open waits another instant or window.

    Of a wait for an event it is the deadline that moves. What the wait's calendar and window do not let pass goes on to
    the next opening. Example: waitctl reschedule 6f2b9c01d3aa --by +2h
    """
    service = _service(session_of(context))

    def act(wait: str) -> tuple[WaitStatus, tuple[str, ...]]:
        return service.reschedule_wait(wait, at=at, by=by, window=window, reason=reason)

    done, worst = for_each(waits, act, output)

    def human(_: object) -> None:
        for found, explanation in done:
            print_explanation(found.wait, explanation)

    documents = [{**wait_document(found.wait), "explanation": list(why)} for found, why in done]
    print_list(documents, output, whole=lambda rows: {"waits": rows}, human=human, id_key="id")
    raise typer.Exit(worst)


@app.command("update")
def update(
    context: typer.Context,
    waits: Annotated[list[str], typer.Argument(metavar="WAIT…", help="Ids, or their first or last 8 characters.")],
    given: Annotated[str, typer.Option("--context", metavar="JSON|@FILE|-", help="The context that they get.")],
    merge: Annotated[
        bool, typer.Option("--merge", help="Only what it names; null takes a key away (RFC 7396).")
    ] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the audit trail.")] = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Give open waits another context.

    A date or zone that was read from a field of it is read again, and the wait moves.
    Example: waitctl update 6f2b9c01d3aa --context '{"appointment": "2026-12-01T09:00:00Z"}'
    """
    from waitctl.application.waits.updating import UpdatingService

    session = session_of(context)
    text = read_text_argument(given, "the context", InvalidWaitConfigurationError)
    document = parse_json_object(text, "the context")
    service = UpdatingService(session.database(), actor=session.actor, settings=session.settings())

    def act(wait: str) -> tuple[WaitStatus, tuple[str, ...]]:
        return service.update_wait(wait, context=document, merge=merge, reason=reason)

    done, worst = for_each(waits, act, output)

    def human(_: object) -> None:
        for found, explanation in done:
            print_explanation(found.wait, explanation)

    documents = [{**wait_document(found.wait), "explanation": list(why)} for found, why in done]
    print_list(documents, output, whole=lambda rows: {"waits": rows}, human=human, id_key="id")
    raise typer.Exit(worst)


@app.command("replan")
@takes_filters
def replan(
    *,
    context: typer.Context,
    everything: AllOption = False,
    filters: Filters,
    tz: Annotated[str | None, typer.Option("--tz", metavar="ZONE", help="Give them this zone.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write it; without, only show what would change.")] = False,
    cap: Annotated[int, typer.Option("--max", metavar="N", min=0, help="Refuse to change more waits.")] = 1000,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Compute open waits anew after a change of zone rules or holidays.

    From what was asked, by the rules of today. Shows what would change; --apply writes it. Overdue waits stay as they
    are, and no wait becomes due by it. It is a plan, too: waitctl bulk apply does it, waitctl bulk undo takes it back.
    Example: waitctl replan --all --apply
    """
    from waitctl.application.operations.bulk import BulkService

    wanted = filters.wanted
    require_some(wanted, everything=everything)
    session = session_of(context)
    service = BulkService(session.database(), actor=session.actor, settings=session.settings())
    found, plan = service.replan(wanted, zone=tz, apply=apply, cap=cap)
    document = found.to_json() | ({} if plan is None else {"plan_id": plan.id})
    print_document(document, output, human=lambda: _print_replan(found, plan, applied=apply))
    raise typer.Exit(ExitCode.FAILURE if found.failed else ExitCode.OK)


def _print_replan(found: Replan, plan: Plan | None, *, applied: bool) -> None:
    if found.changes:
        rows = [(tail(each.wait.id), each.wait.workflow_execution_id, *_from_to(each)) for each in found.changes]
        columns = (
            id_column("WAIT"),
            Column("EXECUTION", 2),
            Column("FROM", 3, whole=True),
            Column("TO", 4, whole=True),
            Column("ZONE", 1),
        )
        print_table(columns, rows)
    for wait_id, error in found.failed:
        say(f"{wait_id} cannot be computed: {error}", always=True)
    said = f"{found.applied} changed" if applied else f"{len(found.changes)} would change"
    write_line(f"{found.checked} open, {said}")
    if plan is not None and applied:
        say(f"waitctl bulk undo {tail(plan.id)} takes it back")
    elif plan is not None:
        say(f"nothing was changed; --apply does it, or waitctl bulk apply {tail(plan.id)}")


def _from_to(change: Change) -> tuple[str, str, str]:
    zones = change.wait.timezone, change.zone
    before, after = (
        show_local(at, zone) if at else "never" for at, zone in zip((change.before, change.after), zones, strict=True)
    )
    return before, after, " → ".join(dict.fromkeys(zones))
