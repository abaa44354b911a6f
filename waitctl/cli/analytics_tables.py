"""What became of waits, for people: a card, bars, and a table of groups."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from waitctl.application.operations.analytics import Analysis, bucket_words, seconds_words, share_words, span_words
from waitctl.cli.output import count, print_card, say, write_line
from waitctl.cli.tables import Column, print_table
from waitctl.domain.analytics import Dimension, Distribution, Group
from waitctl.domain.statuses import Resolution

_ON_A_TERMINAL = 50
_WIDE = 24
"""Characters of the longest bar."""

_COLUMNS = (
    Column("WAITS", 10, whole=True),
    Column("RESUMED", 8, whole=True),
    Column("TIMEOUT", 7, whole=True),
    Column("CANCELLED", 5, whole=True),
    Column("ERROR", 6, whole=True),
    Column("BY EVENT", 9, whole=True),
    *(Column(f"EVENT {name.upper()}", 4, whole=True) for name in Distribution().percentiles()),
    *(Column(f"LATE {name.upper()}", 3, whole=True) for name in Distribution().percentiles()),
    Column("ATTEMPTS", 2, whole=True),
)


def print_analysis(found: Analysis, limit: int | None) -> None:
    """All of it: of the groups at most ``limit``."""
    everything = found.everything
    print_card(f"{count(everything.waits, 'wait')} ended, {span_words(found)}", _facts(everything))
    if found.by is not None:
        _print_groups(found, found.by, limit)
        return
    for title, distribution in (("time to event", everything.to_event), ("late", everything.late)):
        if distribution.counts:
            write_line(f"\n{title}")
            for line in _bars(distribution):
                write_line(line)


def _facts(group: Group) -> Iterator[tuple[str, str]]:
    yield "outcomes", ", ".join(f"{number:,} {status}" for status, number in group.outcomes.items() if number)
    if group.event_share is not None:
        event, timeout = (group.resolutions[each] for each in (Resolution.EVENT, Resolution.TIMEOUT))
        yield "event / timeout", f"{event:,} / {timeout:,} ({share_words(group.event_share)} by event)"
    for title, distribution in (("time to event", group.to_event), ("late", group.late)):
        if distribution.counts:
            shares = distribution.percentiles().items()
            yield title, ", ".join(f"{name} {seconds_words(seconds)}" for name, seconds in shares)
    if group.tried:
        delivered = group.attempts["delivered"]
        yield "attempts", f"{group.tried:,}: {delivered:,} delivered, {group.tried - delivered:,} failed"


def _bars(distribution: Distribution) -> Iterator[str]:
    counts = distribution.counts
    most = max(counts.values())
    wide = max(len(bucket_words(bound)) for bound in counts)
    for bound in sorted(counts):
        bar = "█" * max(1, round(counts[bound] / most * _WIDE))
        yield f"  {bucket_words(bound):>{wide}}  {bar:<{_WIDE}}  {counts[bound]:,}"


def _print_groups(found: Analysis, by: Dimension, limit: int | None) -> None:
    if limit is None and sys.stdout.isatty():
        limit = _ON_A_TERMINAL
    shown = found.groups[: limit or None]
    write_line("")
    print_table(
        (Column(by.value.upper(), 100, kept=True), *_COLUMNS),
        [(name or "(none)", *_cells(group)) for name, group in shown],
    )
    if left := len(found.groups) - len(shown):
        say(f"more: {count(left, 'group')}; --limit 0")


def _cells(group: Group) -> Iterator[str]:
    yield f"{group.waits:,}"
    yield from (f"{number:,}" for number in group.outcomes.values())
    yield share_words(group.event_share)
    for distribution in (group.to_event, group.late):
        yield from map(seconds_words, distribution.percentiles().values())
    yield f"{group.tried:,}"
