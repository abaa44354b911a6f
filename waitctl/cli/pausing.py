"""`waitctl pause` and `unpause`: hold deliveries back, and let them go."""

from __future__ import annotations

from typing import Annotated

import typer

from waitctl.application.deliveries.pausing import PauseService
from waitctl.application.documents import pause_document
from waitctl.cli.output import DocumentOption, Output, print_document, say, write_line
from waitctl.cli.session import session_of
from waitctl.cli.tables import Column, id_column, print_table
from waitctl.domain.instants import format_instant
from waitctl.domain.pauses import Pause, PauseKind

app = typer.Typer(add_completion=False)

HandlerOption = Annotated[str | None, typer.Option("--handler", metavar="NAME", help="Of this handler.")]
WorkflowOption = Annotated[str | None, typer.Option("-w", "--workflow", metavar="ID", help="Of this workflow.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every delivery.")]


@app.command("pause")
def pause(
    context: typer.Context,
    handler: HandlerOption = None,
    workflow: WorkflowOption = None,
    everything: AllOption = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why.")] = None,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Hold deliveries back; events and deadlines go on.

    Outcomes are decided as ever. Without an option: what is paused. Example: waitctl pause --handler crm
    """
    session = session_of(context)
    what = _what(handler, workflow, everything)
    with session.database() as database:
        service = PauseService(database, actor=session.actor)
        if what is None:
            _print_pauses(service.list_pauses(), output)
            return
        held = service.pause(*what, reason=reason)
    print_document(pause_document(held), output, human=lambda: write_line(f"{_named(held.kind, held.name)}  paused"))


@app.command("unpause")
def unpause(
    context: typer.Context,
    handler: HandlerOption = None,
    workflow: WorkflowOption = None,
    everything: AllOption = False,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Let held deliveries go.

    What is not paused stays so. Example: waitctl unpause --handler crm
    """
    what = _what(handler, workflow, everything)
    if what is None:
        raise typer.BadParameter("name a --handler, a --workflow or --all", param_hint="--handler")
    session = session_of(context)
    with session.database() as database:
        was = PauseService(database, actor=session.actor).unpause(*what)
    kind, name = what
    document = {"kind": kind.value, "name": name or None, "was_paused": was}
    print_document(
        document, output, human=lambda: write_line(f"{_named(kind, name)}  {'unpaused' if was else 'was not paused'}")
    )


def _what(handler: str | None, workflow: str | None, everything: bool) -> tuple[PauseKind, str] | None:
    given: list[tuple[PauseKind, str]] = []
    if everything:
        given.append((PauseKind.ALL, ""))
    if handler is not None:
        given.append((PauseKind.HANDLER, handler))
    if workflow is not None:
        given.append((PauseKind.WORKFLOW, workflow))
    if len(given) > 1:
        raise typer.BadParameter("one of --handler, --workflow and --all", param_hint="--handler")
    return given[0] if given else None


def _named(kind: PauseKind, name: str) -> str:
    return f"{kind} {name}" if name else "everything"


def _print_pauses(found: list[Pause], output: Output) -> None:
    def human() -> None:
        if not found:
            say("nothing is paused")
            return
        print_table(
            (id_column("PAUSED"), Column("SINCE", 3, whole=True), Column("BY", 1), Column("WHY", 2)),
            ((_named(each.kind, each.name), format_instant(each.paused_at), each.actor, each.reason) for each in found),
        )

    print_document({"paused": [pause_document(each) for each in found]}, output, human=human)
