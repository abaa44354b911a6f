"""`waitctl await`: block until waits have ended."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from waitctl.application.waits.awaiting import Awaited, AwaitService
from waitctl.cli.output import (
    ExitCode,
    Output,
    OutputOption,
    outlook,
    print_document,
    print_error,
    print_list,
    say,
    write_line,
)
from waitctl.cli.session import session_of
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import InvalidTimeoutError

app = typer.Typer(add_completion=False)


@app.command("await")
def await_(
    context: typer.Context,
    waits: Annotated[
        list[str], typer.Argument(metavar="WAIT…", help="Waits' ids, or their first or last 8 or more characters.")
    ],
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="Give up after this long (exit status 6).")
    ] = None,
    any_of: Annotated[bool, typer.Option("--any", help="Until one of the waits has ended.")] = False,
    all_of: Annotated[bool, typer.Option("--all", help="Until all of the waits have ended, as when left out.")] = False,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Block until waits have ended.

    Exit status 0: resumed, 6: timed out, 7: ended otherwise. Example: waitctl await 6f2b9c01d3aa --timeout 2d
    """
    if any_of and all_of:
        raise typer.BadParameter("--any or --all, not both", param_hint="--any")
    span = None if timeout is None else parse_duration(timeout, error=InvalidTimeoutError, zero=True).elapsed
    ends_at = None if span is None else time.monotonic() + span.total_seconds()
    session = session_of(context)
    with session.database() as database, database.patience.until(ends_at):
        session.say_when_nothing_ticks(database)
        found = AwaitService(database, say=say).await_waits(waits, timeout=span, any_of=any_of)
    if len(waits) == 1:
        wait = found.waits[0]
        print_document(
            wait.to_json(), output, human=lambda: write_line(f"{wait.wait.id}  {outlook(wait.wait)}"), id_key="id"
        )
    else:
        _print_several(found, output, any_of=any_of)
    if found.timed_out:
        print_error("timed_out", f"timed out after {timeout}", None, as_json=output.is_json)
        raise typer.Exit(ExitCode.TIMED_OUT)
    if not found.resumed:
        raise typer.Exit(ExitCode.ENDED_OTHERWISE)


def _print_several(found: Awaited, output: Output, *, any_of: bool) -> None:
    """With --any only what has ended."""
    shown = found.ended if any_of else found.waits

    def human(_: object) -> None:
        for each in shown:
            write_line(f"{each.wait.id}  {outlook(each.wait)}")

    print_list([each.to_json() for each in shown], output, whole=lambda rows: {"waits": rows}, human=human, id_key="id")
