"""`waitctl top`: what goes on, live, in a terminal."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from waitctl.application.operations.watching import Snapshot, take_snapshot
from waitctl.cli.output import clean, console, relative, tail
from waitctl.cli.session import session_of
from waitctl.cli.ticks import did
from waitctl.domain.counts import in_words, some_of
from waitctl.domain.durations import format_timedelta, parse_duration
from waitctl.domain.errors import DatabaseError, InvalidSettingError
from waitctl.domain.health import Service

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

app = typer.Typer(add_completion=False)

_SHORTEST = 0.5
"""Seconds between two looks, at least: a screen is to cost next to nothing."""

_STYLES = {Service.SERVED: "green", Service.SLOW: "yellow", Service.STALLED: "red", Service.DEAD: "red"}


@app.command("top")
def top(
    context: typer.Context,
    interval: Annotated[str, typer.Option("--interval", metavar="DURATION", help="How often to look.")] = "2s",
) -> None:
    """Watch what goes on, live.

    q quits. Without a terminal it prints one look. Example: waitctl top --interval 5s
    """
    seconds = max(_SHORTEST, parse_duration(interval, error=InvalidSettingError).elapsed.total_seconds())
    session = session_of(context)
    settings = session.settings()
    with session.database() as database:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            console().print(_screen(take_snapshot(settings, database)))
            return
        from rich.live import Live

        first = _screen(take_snapshot(settings, database))
        with _keys() as keys, Live(first, console=console(), screen=True, auto_refresh=False) as live:
            while not keys.quit_within(seconds):
                try:
                    live.update(_screen(take_snapshot(settings, database)), refresh=True)
                except DatabaseError as error:  # it may come back
                    live.update(_trouble(error), refresh=True)


class _Keys:
    """What is typed, and whether the window has changed."""

    def __init__(self, descriptor: int, woken: int) -> None:
        self._descriptor = descriptor
        self._woken = woken

    def quit_within(self, seconds: float) -> bool:
        """Wait for so long, or until the window changes. Returns whether somebody has typed ``q``, or is gone."""
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            ready, _, _ = select.select([self._descriptor, self._woken], [], [], left)
            if self._woken in ready:
                os.read(self._woken, 1024)
                return False
            if self._descriptor in ready:
                typed = os.read(self._descriptor, 1024)
                if not typed or not {*b"qQ\x04"}.isdisjoint(typed):
                    return True
        return False


@contextmanager
def _keys() -> Iterator[_Keys]:
    """Keys as they are typed, without an echo; as it was before in the end."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    woken_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    resized_before = signal.signal(signal.SIGWINCH, lambda *_: None)
    try:
        tty.setcbreak(descriptor)
        yield _Keys(descriptor, reader)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, resized_before)
        signal.set_wakeup_fd(woken_before)
        os.close(reader)
        os.close(writer)


def _trouble(error: DatabaseError) -> Group:
    from rich.console import Group
    from rich.text import Text

    return Group(Text(clean(error.message), style="red"), Text("trying again; q quits", style="dim"))


def _screen(seen: Snapshot) -> Group:
    from rich.console import Group
    from rich.text import Text

    summary, counts = seen.summary, seen.summary.counts
    head = Text("waitctl  ", style="bold").append(clean(seen.database), style="default")
    head.append(f"  {seen.service.value}", style=f"bold {_STYLES[seen.service]}")
    age = summary.last_tick_age
    head.append(f"  last tick {'never' if age is None else format_timedelta(age) + ' ago'}", style="dim")
    overdue = in_words(counts.overdue)
    if counts.oldest_overdue_at is not None:
        overdue += f", the oldest since {relative(counts.oldest_overdue_at, summary.now)}"
    listeners = summary.listeners
    soon = some_of(listeners.expiring_1h, "expires", "expire")
    figures = _table("", "")
    for name, value in (
        ("open", in_words(counts.open)),
        *((status.value, in_words(count)) for status, count in counts.by_status.items()),
        ("overdue", overdue),
        ("ended", f"{seen.rate:,.1f}{'+' if seen.rate_is_more else ''} a second"),
        ("listeners", f"{in_words(listeners.active)}, {soon} within an hour"),
        ("held", in_words(summary.deliveries_held)),
        ("quarantined", f"{summary.quarantined:,}"),
    ):
        figures.add_row(name, value)
    figures.show_header = False
    return Group(head, Text(), figures, Text(), *_lists(seen))


def _lists(seen: Snapshot) -> Iterator[Table]:
    now = seen.summary.now
    due = _table("NEXT DUE", "WAIT", "EXECUTION", "STEP")
    for wait in seen.next_due:
        due.add_row(relative(wait.scheduled_at, now), tail(wait.id), clean(wait.execution_id), clean(wait.step_id))
    yield due
    handlers = _table("HANDLER", "PENDING", "DUE", "FAILING", "RUNNING", "DEAD")
    for each in seen.summary.backlogs:
        figures = (each.pending, each.due, each.failing, each.running, each.dead)
        handlers.add_row(clean(each.handler), *map(in_words, figures))
    yield handlers
    runs = _table("TICK", "BY", "DID")
    for run in seen.runs:
        at = relative(run.tick.started_at, seen.summary.real_now or now)
        runs.add_row(at, clean(f"{run.tick.host}:{run.tick.pid}"), did(run))
    yield runs


def _table(*names: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    return table
