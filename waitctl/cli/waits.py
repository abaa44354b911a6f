"""Looking at waits: one, an execution's, what is open, what became of one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from waitctl.application.documents import WAIT_FIELDS, instant
from waitctl.application.waits.results import PendingWaitsSummary, WaitStatus
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.cli.filters import Filters, takes_filters
from waitctl.cli.listing import Listing, Rows, print_rows, takes_listing
from waitctl.cli.output import (
    STATUS_STYLES,
    DocumentOption,
    Output,
    OutputOption,
    local,
    print_card,
    print_document,
    relative,
    say,
    status_text,
    tail,
    write_line,
)
from waitctl.cli.session import WaitArgument, session_of
from waitctl.cli.tables import Column, id_column, print_table
from waitctl.domain.counts import in_words, number_of, some_of
from waitctl.domain.durations import format_timedelta
from waitctl.domain.instants import show
from waitctl.domain.listeners import EventListener, progress
from waitctl.domain.statuses import WaitExecutionStatus
from waitctl.domain.text import to_json
from waitctl.domain.waits import NOT_ASKED, TEMPLATE, WaitStepExecution

if TYPE_CHECKING:
    from waitctl.infrastructure.store.waits import Transition

app = typer.Typer(add_completion=False)

ExecutionOption = Annotated[str | None, typer.Option("-e", "--execution", metavar="ID", help="An execution.")]
StepOption = Annotated[str | None, typer.Option("-s", "--step", metavar="ID", help="A step of the execution.")]


@app.command("status")
def status(
    context: typer.Context,
    wait: Annotated[
        str | None,
        typer.Argument(metavar="WAIT", help="A wait's id, or its first or last 8 or more characters."),
    ] = None,
    execution: ExecutionOption = None,
    step: StepOption = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Show a wait, or the waits of an execution.

    With --step the step's latest wait. Example: waitctl status --execution order-17
    """
    if (wait is None) == (execution is None):
        raise typer.BadParameter("name either a wait or an --execution", param_hint="WAIT")
    if step is not None and execution is None:
        raise typer.BadParameter("a step needs an --execution", param_hint="--step")
    with session_of(context).database() as database:
        service = WaitSchedulingService(database)
        if execution is not None and step is None:
            _print_execution(execution, service.get_execution_status(execution), output)
            return
        found = (
            service.get_step_status(execution, step)
            if execution is not None and step is not None
            else service.get_wait_status(wait or "")
        )
    print_document(found.to_json(), output, human=lambda: print_wait(found), id_key="id")


def print_wait(found: WaitStatus) -> None:
    """A wait as a card."""
    import shlex

    wait, zone, now = found.wait, found.wait.timezone, found.now
    listeners = "; ".join(map(_listener, wait.listeners))
    trouble = "; ".join(
        f"{listener.event_type}: {listener.diagnostic}" for listener in wait.listeners if listener.diagnostic
    )
    deliveries = "; ".join(
        f"{delivery.outcome} to {delivery.handler}: {delivery.status}"
        + (f", attempt {delivery.attempt} of {delivery.max_attempts}" if delivery.max_attempts else "")
        + (f", {delivery.last_error}" if delivery.last_error else "")
        for delivery in wait.deliveries
    )
    print_card(
        f"{wait.wait_type.replace('_', '-')}  {wait.status}" + ("  OVERDUE" if found.is_overdue else ""),
        [
            ("wait", wait.id),
            ("execution", wait.workflow_execution_id),
            ("step", wait.step_id),
            ("workflow", wait.workflow_id),
            ("contact", wait.contact_id),
            ("asked", _asked(wait.wait_config)),
            ("template", _template(wait)),
            ("scheduled", local(wait.scheduled_at, zone, now)),
            ("deadline", local(wait.timeout_at, zone, now)),
            ("listens to", listeners),
            ("progress", _progress(wait)),
            ("condition", trouble),
            ("handler", None if wait.command else wait.handler),
            ("handlers", ", ".join(f"{outcome}={name}" for outcome, name in (wait.handlers or {}).items())),
            ("command", f"{shlex.join(wait.command['argv'])} in {wait.command['folder']}" if wait.command else None),
            ("key", wait.idempotency_key),
            ("context", to_json(wait.context) if wait.context else None),
            ("created", local(wait.created_at, zone, now)),
            ("ended", local(wait.resolved_at, zone, now)),
            ("by", wait.resolution),
            ("event", wait.resolution_event_id),
            ("late", f"{wait.late_seconds} s" if wait.late_seconds else None),
            ("delivery", deliveries),
        ],
        style=STATUS_STYLES[wait.status],
    )


def _listener(listener: EventListener) -> str:
    return (
        f"{listener.event_type} of {listener.contact_id}"
        + (" by a human" if listener.human else "")
        + "".join(f" where {key}={value}" for key, value in (listener.match or {}).items())
        + (f" containing {to_json(listener.match_json)}" if listener.match_json else "")
        + (f" where {listener.where}" if listener.where else "")
        + f" ({listener.status})"
    )


def _template(wait: WaitStepExecution) -> str | None:
    if not wait.wait_config.get(TEMPLATE):
        return None
    from waitctl.domain.templates import LateBinding  # few waits are of any

    return str(LateBinding.of_config(wait.wait_config))


def _progress(wait: WaitStepExecution) -> str | None:
    """How far a wait for several events has come, as in ``2 of 3: email_open``."""
    if not any(listener.is_grouped for listener in wait.listeners):
        return None
    done, needed = progress(wait.listeners)
    counted = ", ".join(listener.event_type for listener in wait.listeners if listener.matched_count)
    return f"{done:,} of {needed:,}" + (f": {counted}" if counted else "")


def _asked(config: dict[str, Any]) -> str:
    shown = {key: value for key, value in config.items() if value not in (None, False, "0")}
    return ", ".join(
        f"{key} {value if isinstance(value, str) else to_json(value)}"
        for key, value in shown.items()
        if key not in NOT_ASKED | {"past"}
    )


def _print_execution(execution: str, found: Sequence[WaitStatus], output: Output) -> None:
    waits = [each.wait for each in found]
    if any(wait.status.is_open for wait in waits):
        state = "waiting"
    else:
        last = waits[-1].status
        state = {WaitExecutionStatus.ERROR: "error", WaitExecutionStatus.CANCELLED: "cancelled"}.get(last, "done")
        if any(wait.status is WaitExecutionStatus.ERROR for wait in waits):
            state = "error"
    document = {
        "workflow_execution_id": execution,
        "state": state,
        "waits": [each.to_json() for each in found],
    }

    def human() -> None:
        say(f"{execution}: {state}")
        print_table(WAIT_ROWS.columns, map(WAIT_ROWS.cells, found))

    if output is Output.ID:
        for wait in waits:
            write_line(wait.id)
        return
    print_document(document, output, human=human)


WAIT_ROWS: Rows[WaitStatus] = Rows(
    key="waits",
    id_key="id",
    fields=(*WAIT_FIELDS, "listeners", "deliveries"),
    document=WaitStatus.to_json,
    columns=(
        id_column("WAIT"),
        Column("EXECUTION", 8),
        Column("STEP", 5),
        Column("TYPE", 3, whole=True),
        Column("STATUS", 7, whole=True),
        Column("WHEN", 6, whole=True),
        Column("CONTACT", 4),
        Column("WORKFLOW", 2, extra=True),
        Column("HANDLER", 2, extra=True),
        Column("AT", 2, extra=True),
        Column("CREATED", 1, extra=True),
        Column("KEY", 1, extra=True),
    ),
    cells=lambda each: (
        tail(each.wait.id),
        each.wait.workflow_execution_id,
        each.wait.step_id,
        each.wait.wait_type.replace("_", "-"),
        status_text(each.wait.status),
        _when(each),
        each.wait.contact_id,
        each.wait.workflow_id,
        ", ".join(filter(None, (each.wait.handler, *(each.wait.handlers or {}).values()))),
        _at(each),
        show(each.wait.created_at, each.wait.timezone),
        each.wait.idempotency_key,
    ),
    nothing="no waits",
)


def _at(found: WaitStatus) -> str | None:
    """When it ended or will, as clocks in its zone show it."""
    wait = found.wait
    at = wait.resolved_at or wait.scheduled_at or wait.timeout_at
    return None if at is None else show(at, wait.timezone)


def _when(found: WaitStatus) -> str:
    wait = found.wait
    if wait.resolved_at is not None:
        return f"ended {relative(wait.resolved_at, found.now)}"
    at = wait.scheduled_at or wait.timeout_at
    if at is None:
        return "no timeout"
    word = "overdue, due" if found.is_overdue else "due" if wait.scheduled_at else "times out"
    return f"{word} {relative(at, found.now)}"


@app.command("pending")
@takes_filters
def pending(*, context: typer.Context, filters: Filters, output: DocumentOption = Output.HUMAN) -> None:
    """Count what is open.

    Example: waitctl pending -o json
    """
    from waitctl.application.deliveries.handler_factory import handlers_of

    session = session_of(context)
    with session.reading() as database:
        known = [config.name for config in handlers_of(session.settings(), database)]
        summary = WaitSchedulingService(database, settings=session.settings()).list_pending_waits(
            filters.wanted, handlers=known
        )
        session.say_when_nothing_ticks(database)
    print_document(summary.to_json(), output, human=lambda: _print_summary(summary))


def _print_summary(summary: PendingWaitsSummary) -> None:
    counts, listeners = summary.counts, summary.listeners
    overdue = in_words(counts.overdue)
    if counts.oldest_overdue_at is not None:
        overdue += f", the oldest due {relative(counts.oldest_overdue_at, summary.now)}"
    deliveries = f"{in_words(summary.deliveries_pending)} pending, {in_words(summary.deliveries_held)} of them held"
    if summary.oldest_due_seconds:
        deliveries += f", due for {format_timedelta(timedelta(seconds=summary.oldest_due_seconds))}"
    soon = some_of(listeners.expiring_1h, "expires", "expire")
    listening = f"{in_words(listeners.active)} active, {soon} within an hour"
    if listeners.expired_unswept:
        listening += f", {in_words(listeners.expired_unswept)} expired and not swept"
    if listeners.orphans:
        listening += f", {listeners.orphans:,} without an open wait (waitctl doctor)"
    print_card(
        f"{in_words(counts.open)} open",
        [
            *(
                (f"{kind.replace('_', '-')}", in_words(count, at_least=kind in counts.at_least))
                for kind, count in counts.by_type.items()
                if count
            ),
            ("overdue", overdue),
            ("next due", None if counts.next_due_at is None else relative(counts.next_due_at, summary.now)),
            ("listeners", listening if listeners.active else None),
            ("deliveries", f"{deliveries}, {in_words(summary.deliveries_dead)} dead"),
            ("quarantined", number_of(summary.quarantined, "webhook") if summary.quarantined else None),
            ("last tick", _last_tick(summary)),
            ("paused", ", ".join(f"{pause.kind} {pause.name}".strip() for pause in summary.paused)),
        ],
        style="yellow" if counts.overdue or summary.deliveries_dead else "green",
    )


def _last_tick(summary: PendingWaitsSummary) -> str:
    if summary.last_tick is None or summary.last_tick_age is None:
        return "none yet"
    if (ahead := summary.last_tick_ahead) is not None:
        return f"{format_timedelta(ahead)} in the future, on {summary.last_tick.host}"
    return f"{format_timedelta(summary.last_tick_age)} ago on {summary.last_tick.host}"


@app.command("history")
@takes_listing
def history(*, context: typer.Context, wait: WaitArgument, listing: Listing) -> None:
    """Show a wait's audit trail.

    Example: waitctl history 6f2b9c01d3aa
    """
    with session_of(context).database() as database:
        service = WaitSchedulingService(database)
        found = service.get_wait_status(wait)
        lines = service.get_history(found.wait.id)
    zone = found.wait.timezone
    rows: Rows[Transition] = Rows(
        key=None,
        id_key=None,
        fields=("at", "from", "to", "reason", "actor", "data"),
        document=lambda line: {
            "at": instant(line.at),
            "from": line.from_status,
            "to": line.to_status,
            "reason": line.reason,
            "actor": line.actor,
            "data": line.data,
        },
        columns=(
            Column("AT", 5, whole=True),
            Column("FROM", 3, whole=True),
            Column("TO", 7, whole=True, kept=True),
            Column("REASON", 6),
            Column("ACTOR", 2),
            Column("DATA", 1, extra=True),
        ),
        cells=lambda line: (
            show(line.at, zone),
            line.from_status or "-",
            status_text(line.to_status),
            line.reason,
            line.actor,
            to_json(line.data) if line.data else None,
        ),
        nothing="no history",
    )
    print_rows(rows, lines, listing)
