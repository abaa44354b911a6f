"""`waitctl analytics`: what became of waits, for people, programs and a browser."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from waitctl.cli.filters import Filters, takes_filters
from waitctl.cli.output import DocumentOption, Output, print_list, say
from waitctl.cli.session import session_of
from waitctl.domain.analytics import Dimension
from waitctl.domain.filters import parse_when

if TYPE_CHECKING:
    from waitctl.application.operations.analytics import Analysis

app = typer.Typer(add_completion=False)


@app.command("analytics")
@takes_filters
def analytics(
    context: typer.Context,
    filters: Filters,
    by: Annotated[
        Dimension | None, typer.Option("--by", help="Tell the waits apart by this.", show_choices=True)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="T", help="From the day (in UTC) of an instant, or so long ago: 30d."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with charts that needs no network.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=0, help="How many groups at most; 0 for all.")
    ] = None,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Say what became of waits: outcomes, how long, how late, how many attempts.

    Counts waits that have ended. Those that were pruned, too, unless another filter than type, workflow, step and
    handler is given. Example: waitctl analytics --by workflow --since 30d
    """
    from waitctl.application.operations.analytics import analyse

    wanted = None if since is None else parse_when(since, "--since")
    if isinstance(wanted, timedelta):
        wanted = -abs(wanted)  # what has ended lies behind, whichever way it is written
    session = session_of(context)
    with session.reading() as database:
        found = analyse(database, filters.wanted, by=by, since=wanted)
    if html is not None:
        from waitctl.application.operations.analytics_page import write_page

        write_page(html, found)
        say(f"written: {html}")
        if output is Output.HUMAN:
            return
    _print(found, output, limit)


def _print(found: Analysis, output: Output, limit: int | None) -> None:
    document = found.to_json()
    groups = document["groups"]
    if output in {Output.JSON, Output.YAML}:
        rows = groups[: limit or None]
        print_list(rows, output, whole=lambda rows: document | {"groups": rows}, human=lambda _: None)
        return
    rows = [*groups[: limit or None]] if found.by else [document["total"]]
    if output is Output.CSV:
        rows = [_flat(row) for row in rows]
    print_list(rows, output, whole=lambda rows: rows, human=lambda _: _print_for_people(found, limit))


def _print_for_people(found: Analysis, limit: int | None) -> None:
    from waitctl.cli.analytics_tables import print_analysis

    print_analysis(found, limit)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A group as one line: names of nested values are joined; histograms stay in the JSON."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{key}": each for key, each in value.items() if key != "histogram"}
        else:
            flat[name] = value
    return flat
