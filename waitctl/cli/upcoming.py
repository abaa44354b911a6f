"""`waitctl upcoming`: a histogram of what will fire."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from waitctl.application.waits.upcoming import Upcoming, list_upcoming
from waitctl.cli.output import DocumentOption, Output, console, print_document, say
from waitctl.cli.session import session_of
from waitctl.domain.clocks import Instant
from waitctl.domain.filters import parse_when
from waitctl.domain.hours import WEEKDAYS
from waitctl.domain.instants import clock, offset_of
from waitctl.domain.upcoming import Bucket, Grain

if TYPE_CHECKING:
    from rich.text import Text

app = typer.Typer(add_completion=False)

_PIPED_WIDTH = 80
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@app.command("upcoming")
def upcoming(
    context: typer.Context,
    by: Annotated[Grain, typer.Option("--by", help="Count by local hours or days.")] = Grain.HOUR,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="T", help="An instant, or a duration from now; 24 hours or 14 days."),
    ] = None,
    tz: Annotated[
        str | None, typer.Option("--tz", metavar="ZONE", help="Whose hours and days; the config's when left out.")
    ] = None,
    workflow: Annotated[str | None, typer.Option("-w", "--workflow", metavar="ID", help="Only of this one.")] = None,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Show when waits will fire or time out, as a histogram.

    Event waits count at the end of their grace, when a tick times them out. Example: waitctl upcoming --by day
    --until 30d --tz Europe/Berlin
    """
    session = session_of(context)
    end = None if until is None else parse_when(until, "--until")
    zone = session.settings().timezone if tz is None else tz
    with session.database() as database:
        found = list_upcoming(database, grain=by, until=end, timezone=zone, workflow_id=workflow)
    print_document(found.to_json(), output, human=lambda: _print_histogram(found))


# -- for people --------------------------------------------------------------------------------------------------------


def _print_histogram(found: Upcoming) -> None:
    from rich.text import Text

    if not found.total:
        say("nothing is coming")
        return
    terminal = console()
    labels = _labels(found)
    head = f"WHEN ({found.timezone})"
    wide = max(map(len, (head, *labels)))
    lines = [
        f"{label:<{wide}}  {bucket.total:>9,}  {bucket.scheduled:>9,}  {bucket.timeouts:>9,}  "
        for label, bucket in zip(labels, found.buckets, strict=True)
    ]
    room = max(10, (terminal.width if terminal.is_terminal else _PIPED_WIDTH) - len(lines[0]))
    highest = max(bucket.total for bucket in found.buckets)
    terminal.print(Text(f"{head:<{wide}}  {'TOTAL':>9}  {'SCHEDULED':>9}  {'TIMEOUTS':>9}", style="bold"))
    terminal.print(Text(f"{'overdue':<{wide}}  {found.overdue:>9,}", style="red" if found.overdue else ""))
    for line, bucket in zip(lines, found.buckets, strict=True):
        terminal.print(Text(line).append_text(_bar(bucket, highest, room)), no_wrap=True, crop=False)
    terminal.print(Text(f"{'later':<{wide}}  {found.later:>9,}", style="dim"))


def _labels(found: Upcoming) -> list[str]:
    """The local start of each bucket; with its offset where clocks change meanwhile."""
    starts = [Instant(bucket.start).to_tz(found.timezone) for bucket in found.buckets]
    changes = found.grain is Grain.HOUR and len({start.offset for start in starts}) > 1
    return [
        f"{WEEKDAYS[start.day_of_week().value - 1]} {start.date()}"
        + (f" {clock(start.time())}" if found.grain is Grain.HOUR else "")
        + (f" {offset_of(start)}" if changes else "")
        for start in starts
    ]


def _bar(bucket: Bucket, highest: int, room: int) -> Text:
    """What is scheduled and what times out, in colours of their own; whatever there is shows."""
    from rich.text import Text

    if not bucket.total:
        return Text()
    if sys.stdout.isatty() and "utf" in (sys.stdout.encoding or "").lower():
        whole, eighths = divmod(max(1, bucket.total * room * 8 // highest), 8)
        bar = _EIGHTHS[8] * whole + _EIGHTHS[eighths].strip()
    else:
        bar = "#" * max(1, bucket.total * room // highest)
    cut = round(len(bar) * bucket.scheduled / bucket.total)
    return Text(bar[:cut], style="blue").append(bar[cut:], style="yellow")
