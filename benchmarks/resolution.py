"""From an intent to its instant, through zone, calendar and window, against one bare addition of days in a zone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from whenever import Instant

from benchmarks.measure import Comparison, Setting, alternate, seconds
from waitctl.domain.hours import parse_hours
from waitctl.domain.intents import Rules, parse_fixed_time
from waitctl.domain.schedule import IntentResolver
from waitctl.infrastructure.calendars import Calendars

ZONE = "Europe/Berlin"


def resolution(setting: Setting) -> list[Comparison]:
    """`3d` in Berlin, on business days of Bavaria, within a window: from bases of four years."""
    count = 10_000 if setting.quick else 100_000
    bases = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=21 * step) for step in range(count)]
    rules = Rules(calendar="DE-BY", window=parse_hours("mon-fri 09:00-12:00,13:00-17:00"))
    resolver = IntentResolver(parse_fixed_time("3d"), ZONE, rules, Calendars().get("DE-BY"))

    def milliseconds(work: Callable[[Sequence[datetime]], None], on: Sequence[datetime]) -> Callable[[], float]:
        return lambda: 1000 * seconds(lambda: work(on))

    def resolve(bases: Sequence[datetime]) -> None:
        for base in bases:
            resolver.resolve(base)

    def add(bases: Sequence[datetime]) -> None:
        for base in bases:
            Instant(base).to_tz(ZONE).add(days=3, disambiguation="compatible").to_instant().to_stdlib()

    zoned = [Instant(base).to_tz(ZONE) for base in bases]

    def add_alone(_: Sequence[datetime]) -> None:
        for at in zoned:
            at.add(days=3, disambiguation="compatible")

    what = f"resolution: {count:,} / "
    ours = milliseconds(resolve, bases)
    instants = alternate(f"{what}bare additions", ours, milliseconds(add, bases), pairs=9)
    alone = alternate(f"{what}additions alone", ours, milliseconds(add_alone, bases), pairs=3)
    return [
        Comparison(f"{what}bare additions, instant to instant", "ms", *instants, at_most=10),
        Comparison(f"{what}additions to what is in the zone", "ms", *alone),
    ]
