"""What clocks show, by the standard library: the oracle for all that is built on `whenever`."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import whenever

from waitctl.domain.errors import InvalidTimezoneError
from waitctl.domain.hours import OpeningHours
from waitctl.domain.instants import Dst, check_zone
from waitctl.infrastructure.zone_rules import use_newest

use_newest()
zoneinfo.reset_tzpath(whenever.get_tzpath())


def _is_zone(name: str) -> bool:
    try:
        check_zone(name)
    except InvalidTimezoneError:
        return False
    return True


@cache
def all_zones() -> tuple[str, ...]:
    """Every zone that a wait can be in."""
    return tuple(sorted(filter(_is_zone, whenever.available_timezones())))


@cache
def zone_of(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def shown(at: datetime, zone: str) -> datetime:
    """The wall clock, naive, in ``zone`` at this instant."""
    return at.astimezone(zone_of(zone)).replace(tzinfo=None, fold=0)


def read(local: datetime, zone: str, dst: Dst = Dst.COMPATIBLE) -> datetime:
    """The instant of a wall clock's time. In a gap, fold 0 counts with the offset before it, which is past it."""
    return readings(local, zone)[dst]


def readings(local: datetime, zone: str) -> dict[Dst, datetime]:
    tz = zone_of(zone)
    first, second = local.replace(tzinfo=tz).astimezone(UTC), local.replace(tzinfo=tz, fold=1).astimezone(UTC)
    return {Dst.COMPATIBLE: first, Dst.EARLIER: min(first, second), Dst.LATER: max(first, second)}


def kind_of(found: Mapping[Dst, datetime]) -> str | None:
    """Whether clocks skip the time that is read so (gap) or show it twice (fold)."""
    if found[Dst.EARLIER] == found[Dst.LATER]:
        return None
    return "gap" if found[Dst.COMPATIBLE] == found[Dst.LATER] else "fold"


def is_within(local: datetime, hours: OpeningHours, opens_on: Callable[[date], bool] = lambda _: True) -> bool:
    """Whether a wall clock's time lies in an interval of its day, or in one of the day before that runs past midnight."""
    for day in (local.date() - timedelta(days=1), local.date()):
        minutes = (local - datetime.combine(day, time())) / timedelta(minutes=1)
        if opens_on(day) and any(start <= minutes < end for start, end in hours.intervals.get(day.isoweekday(), ())):
            return True
    return False


@cache
def all_changes() -> dict[str, list[datetime]]:
    return {zone: changes(zone, range(2000, 2041)) for zone in all_zones()}


@cache
def gaps_to_another_day() -> tuple[tuple[str, datetime], ...]:
    """Zones, and local times that their clocks skip on one day and a DST rule reads as another day's."""
    return tuple(
        (zone, local)
        for zone, known in all_changes().items()
        for local in _skipped(zone, known)
        if any(shown(at, zone).date() != local.date() for at in readings(local, zone).values())
    )


def gaps(years: range) -> Iterator[tuple[str, datetime]]:
    """Zones, and local times of these years that their clocks skip: the first one of each gap, and one amid it."""
    for zone, known in all_changes().items():
        yield from ((zone, local) for local in _skipped(zone, known) if local.year in years)


def _skipped(zone: str, known: list[datetime]) -> Iterator[datetime]:
    """The first local time of every gap, and one in its middle."""
    for change in known:
        first, past = shown(change - timedelta(seconds=1), zone) + timedelta(seconds=1), shown(change, zone)
        if past > first:
            yield from (first, first + (past - first) / 2)


def changes(zone: str, years: range) -> list[datetime]:
    """The instants in these years at which the clocks of ``zone`` jump.

    Looked for week by week: `test_every_change_is_known` shows that none undoes another within one.
    """
    tz, found = zone_of(zone), []
    step = timedelta(days=7)
    before = datetime(years[0], 1, 1, tzinfo=UTC)
    end = datetime(years[-1] + 1, 1, 1, tzinfo=UTC)
    offset = before.astimezone(tz).utcoffset()
    while before < end:
        after = before + step
        offset_after = after.astimezone(tz).utcoffset()
        if offset_after != offset:
            found.append(_bisect(before, after, tz))
        before, offset = after, offset_after
    return [at for at in found if at < end]


def _bisect(before: datetime, after: datetime, tz: ZoneInfo) -> datetime:
    offset = before.astimezone(tz).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // timedelta(seconds=2) * timedelta(seconds=1)
        if middle.astimezone(tz).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
