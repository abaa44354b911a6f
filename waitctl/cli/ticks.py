"""`waitctl ticks`: the heartbeat, and where it stopped."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Annotated

import typer

from waitctl.application.operations.runs import PastRun, Runs, list_runs
from waitctl.cli.output import DocumentOption, Output, print_list, relative, say
from waitctl.cli.session import session_of
from waitctl.cli.tables import Column, print_table
from waitctl.domain.durations import format_timedelta
from waitctl.domain.filters import parse_when
from waitctl.domain.instants import show_local

app = typer.Typer(add_completion=False)

_ON_A_TERMINAL = 50


@app.command("ticks")
def ticks(
    context: typer.Context,
    since: Annotated[str, typer.Option("--since", metavar="T", help="An instant, or so long ago, as in 1d.")] = "1d",
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=0, help="How many at most; 0 for all.")
    ] = None,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """List the runs of the processor, newest first.

    A gap of more than three times the usual is marked. On a terminal the last 50 of a day. Example: waitctl ticks
    --since 7d -o ndjson
    """
    wanted = parse_when(since, "--since")
    if isinstance(wanted, timedelta):
        wanted = -abs(wanted)  # what has run lies behind, whichever way it is written
    if limit is None and output.is_for_people and sys.stdout.isatty():
        limit = _ON_A_TERMINAL
    session = session_of(context)
    with session.database() as database:
        found = list_runs(database, since=wanted, limit=limit or None)
    print_list(
        [run.to_json() for run in found.runs],
        output,
        whole=lambda rows: {"ticks": rows},
        human=lambda _: _print_runs(found, session.settings().timezone),
    )


def _print_runs(found: Runs, zone: str) -> None:
    if not found.runs:
        say("no tick ran since then")
        return
    rows = []
    for run in found.runs:
        rows.append(
            (
                f"{show_local(run.tick.started_at, zone)} {zone}",
                relative(run.tick.started_at, found.now),
                _took(run),
                f"{run.tick.host}:{run.tick.pid}",
                did(run),
            )
        )
        if run.gap is not None:
            rows.append(("", "", "", "", f"GAP: nothing ran for {format_timedelta(run.gap)}"))
    print_table(
        (
            Column("STARTED", 8, whole=True),
            Column("AGO", 4, whole=True),
            Column("TOOK", 6, whole=True),
            Column("BY", 3),
            Column("DID", 7),
        ),
        rows,
    )
    if found.more:
        say("more: --limit 0")


def _took(run: PastRun) -> str:
    if run.tick.finished_at is None:
        return "not finished"
    seconds = (run.tick.finished_at - run.tick.started_at).total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else format_timedelta(run.tick.finished_at - run.tick.started_at)


def did(run: PastRun) -> str:
    report = run.to_json()
    counts = [
        f"{name.replace('_', ' ')} {report[name]:,}"
        for name in ("correlated", "resumed", "timed_out", "delivered", "retried", "dead", "held", "pruned")
        if report[name]
    ]
    if report["remaining_due"]:
        counts.append(f"still due {report['remaining_due']:,}")
    if report["stopped"] not in {None, "idle"}:
        counts.append(f"({report['stopped'].replace('_', ' ')})")
    return ", ".join(counts) or ("" if run.tick.report is None else "nothing to do")
