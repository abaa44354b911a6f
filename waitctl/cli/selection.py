"""The waits that a filter means: list them, cancel them, resume them."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from typing import Annotated

import typer

from waitctl.application.waits.results import WaitStatus
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.application.waits.selection import Ended, WaitSelection
from waitctl.cli.filters import AllOption, Filters, require_some, takes_filters
from waitctl.cli.listing import Listing, Shape, print_rows, takes_listing
from waitctl.cli.output import (
    ExitCode,
    Output,
    OutputOption,
    count,
    for_each,
    print_document,
    print_error,
    say,
    write_line,
)
from waitctl.cli.session import read_text_option, session_of
from waitctl.cli.waits import WAIT_ROWS
from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.filters import NEWEST_FIRST, WaitFilter, WaitOrder
from waitctl.domain.statuses import Resolution, WaitExecutionStatus
from waitctl.domain.text import parse_json_object

app = typer.Typer(add_completion=False)

ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why, for the audit trail.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Change nothing; print which waits it would be.")]


@app.command("list")
@takes_filters
@takes_listing
def list_(
    *,
    context: typer.Context,
    filters: Filters,
    sort: Annotated[
        str | None,
        typer.Option("--sort", metavar="KEY", help="By created, due, updated or ended; -KEY the other way round."),
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="ID", help="The page after this wait: `next` of the last one.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and show the list anew every two seconds.")] = False,
    sleeping: Annotated[
        bool, typer.Option("--sleeping", help="Who sleeps, until when and why; who wakes first before the others.")
    ] = False,
    listing: Listing,
) -> None:
    """List waits, newest first.

    On a terminal the first 50, else all. Example: waitctl list --status waiting --contact ada@example.org -o ndjson
    """
    session = session_of(context)
    order = NEWEST_FIRST if sort is None else WaitOrder.parse(sort)
    if sleeping and sort is not None:
        raise typer.BadParameter("those that wake first come first", param_hint="--sort")
    with session.reading() as database:
        session.say_when_nothing_ticks(database)
        selection = WaitSelection(database, filters.wanted)

        def show(listing: Listing) -> None:
            if sleeping:
                from waitctl.cli.sleeping import SLEEPING_ROWS

                with closing(selection.sleeping(limit=listing.enough, after=after)) as sleepers:
                    print_rows(SLEEPING_ROWS, sleepers, listing, paged=True)
                return
            with closing(selection.read(order=order, limit=listing.enough, after=after)) as found:
                print_rows(WAIT_ROWS, found, listing, paged=True)

        if watch:
            _watch(show, listing)
        else:
            show(listing)


@app.command("cancel")
@takes_filters
def cancel(
    *,
    context: typer.Context,
    waits: Annotated[
        list[str] | None,
        typer.Argument(metavar="WAIT…", help="Ids, or their first or last 8 or more characters."),
    ] = None,
    filters: Filters,
    everything: AllOption = False,
    reason: ReasonOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Cancel waits: those named, or the open ones that a filter means.

    A cancelled one may be cancelled again; one that ended otherwise is a conflict. Example: waitctl cancel
    --execution order-17 --reason paid
    """
    wanted = _wanted(filters, waits, everything=everything)
    session = session_of(context)
    with session.database() as database:
        if wanted is not None:
            ended = WaitSelection(database, wanted, actor=session.actor).cancel(reason=reason, dry_run=dry_run)
            worst = _print_ended(ended, "cancelled", output, dry_run=dry_run)
        else:
            service = WaitSchedulingService(database, actor=session.actor)

            def act(wait: str) -> WaitStatus:
                return _may_cancel(service, wait) if dry_run else service.cancel_wait(wait, reason=reason)

            done, worst = for_each(waits or [], act, output)
            _print_ended(map(Ended, done), "cancelled", output, dry_run=dry_run, failed=worst is not ExitCode.OK)
    raise typer.Exit(worst)


@app.command("resume")
@takes_filters
def resume(
    *,
    context: typer.Context,
    wait: Annotated[
        str | None,
        typer.Argument(metavar="WAIT", help="A wait's id, or its first or last 8 or more characters."),
    ] = None,
    filters: Filters,
    everything: AllOption = False,
    reason: ReasonOption = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="JSON|@FILE|-", help="A JSON object for the handler.")
    ] = None,
    data_raw: Annotated[
        str | None, typer.Option("--data-raw", metavar="JSON", help="The same, but an @ or a - is only that.")
    ] = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Resume a wait by hand, or the open ones that a filter means.

    Their handlers run with outcome manual. Example: waitctl resume 6f2b9c01d3aa --reason 'they called back'
    """
    wanted = _wanted(filters, [wait] if wait else None, everything=everything)
    session = session_of(context)
    text = read_text_option("data", data, data_raw, "the data", InvalidWaitConfigurationError)
    value = None if text is None else parse_json_object(text, "the data")
    with session.database() as database:
        if wanted is not None:
            selection = WaitSelection(database, wanted, actor=session.actor)
            ended = selection.resume(reason=reason, data=value, dry_run=dry_run)
            raise typer.Exit(_print_ended(ended, "resumed", output, dry_run=dry_run))
        service = WaitSchedulingService(database, actor=session.actor)
        found = (
            _may_resume(service, wait or "") if dry_run else service.resume_wait(wait or "", reason=reason, data=value)
        )
    verb = "would be resumed" if dry_run else "resumed"
    print_document(found.to_json(), output, human=lambda: write_line(f"{found.wait.id}  {verb}"), id_key="id")


def _wanted(filters: Filters, waits: list[str] | None, *, everything: bool) -> WaitFilter | None:
    """Which waits are meant; ``None`` for those named. Raises Typer's ``BadParameter`` for both, and for neither."""
    wanted = filters.wanted
    if not waits:
        require_some(wanted, everything=everything)
        return wanted
    if everything or not wanted.is_empty:
        raise typer.BadParameter("name either waits or a filter", param_hint="WAIT")
    return None


def _may_cancel(service: WaitSchedulingService, wait: str) -> WaitStatus:
    found = service.get_wait_status(wait)
    if found.wait.status is not WaitExecutionStatus.CANCELLED:
        found.wait.check_may_end(Resolution.CANCELLED)
    return found


def _may_resume(service: WaitSchedulingService, wait: str) -> WaitStatus:
    found = service.get_wait_status(wait)
    found.wait.check_may_end(Resolution.MANUAL)
    found.wait.check_listening(found.now)
    return found


def _print_ended(ended: Iterable[Ended], verb: str, output: Output, *, dry_run: bool, failed: bool = False) -> ExitCode:
    """Print what was ended as it comes, and report what was not. Returns the worst exit code."""
    worst, number = ExitCode.OK, 0

    def done() -> Iterator[WaitStatus]:
        nonlocal worst, number
        for each in ended:
            if each.error is None:
                number += 1
                yield each.status
            else:
                message = f"{each.status.wait.id}: {each.error.message}"
                print_error(each.error.code, message, each.error.hint, as_json=output.is_json)
                worst = max(worst, ExitCode.of(each.error))

    if not output.is_for_people:
        print_rows(WAIT_ROWS, done(), Shape(output=output))
        return worst
    for each in done():
        write_line(f"{each.wait.id}  {'would be ' if dry_run else ''}{verb}")
    if not number and worst is ExitCode.OK and not failed:
        say(f"nothing {'would be ' if dry_run else ''}{verb}")
    elif dry_run:
        say(f"{count(number, 'wait')}; nothing was changed")
    return worst


# -- watching ----------------------------------------------------------------------------------------------------------

_EVERY = 2.0
"""Seconds between two looks."""

_CLEAR = "\x1b[H\x1b[2J"


def _watch(show: Callable[[Listing], None], listing: Listing) -> None:
    """Show the list on a clear screen again and again, as many rows as it holds, until Ctrl-C."""
    if not (sys.stdout.isatty() and listing.output.is_for_people):
        raise typer.BadParameter("it is for a terminal; a script has waitctl await", param_hint="--watch")
    if listing.limit is None:
        listing = Listing(**vars(listing) | {"limit": max(1, shutil.get_terminal_size().lines - 3)})
    with suppress(KeyboardInterrupt):
        while True:
            sys.stdout.write(_CLEAR)
            show(listing)
            sys.stdout.flush()
            time.sleep(_EVERY)
