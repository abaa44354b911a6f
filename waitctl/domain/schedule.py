"""From what was asked to an instant, with every rule that moved it on the way.

An *intent* is what the caller meant (``3d``, ``2026-12-24 18:00``, ``09:00``); `resolve` turns it into an instant. All
arithmetic is done here, none in SQL: PostgreSQL and Python disagree about the second 02:30 of an autumn night.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from whenever import (
    Instant,
    PlainDateTime,
    RepeatedTime,
    SkippedTime,
    Time,
    TimeZoneNotFoundError,
    ZonedDateTime,
)

from waitctl.domain.durations import Duration, parse_duration
from waitctl.domain.errors import (
    InvalidTimezoneError,
    InvalidWaitDateError,
    InvalidWaitTimeError,
)
from waitctl.domain.text import JsonObject


@dataclass(frozen=True, slots=True)
class FixedTime:
    """Go on when this much time has passed."""

    duration: Duration

    def to_config(self) -> JsonObject:
        """The intent as `wait_config` keeps it."""
        return {"duration": str(self.duration)}


@dataclass(frozen=True, slots=True)
class UntilDate:
    """Go on at this instant, or at this local time in the wait's zone."""

    moment: datetime | PlainDateTime

    def to_config(self) -> JsonObject:
        """The intent as `wait_config` keeps it."""
        if isinstance(self.moment, datetime):
            return {"date": format_instant(self.moment)}
        return {"date": self.moment.format_iso()}


@dataclass(frozen=True, slots=True)
class UntilTime:
    """Go on the next time that clocks in the wait's zone show this time of day."""

    time: Time

    def to_config(self) -> JsonObject:
        """The intent as `wait_config` keeps it."""
        return {"time": self.time.format_iso()}


Intent = FixedTime | UntilDate | UntilTime


@dataclass(frozen=True, slots=True)
class Schedule:
    """A resolved intent: the instant (UTC) and how it came about, first what was asked, then what moved it."""

    at: datetime
    explanation: tuple[str, ...]


_OUTSIDE = "the instant lies outside the years 1000 to 9899"
_NOT_IANA = re.compile(r"(posix|right)/|localtime$|posixrules$|Factory$")
_TIME_OF_DAY = re.compile(r"([0-9]{1,2})(?::([0-9]{2})(?::([0-9]{2}))?)?")
_LOCAL = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?))?", re.IGNORECASE
)
_INSTANT = re.compile(_LOCAL.pattern + r" ?(Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE)


YEARS = range(1000, 9900)
"""The years that instants may lie in: so far from the ends of every calendar that no zone and no sum leaves it."""


def check_zone(zone: str) -> str:
    """Return ``zone`` when it is the exact name of an IANA time zone; raise `InvalidTimezoneError` otherwise."""
    try:
        known = not _NOT_IANA.match(zone) and Instant.from_utc(2000, 1, 1).to_tz(zone).tz_id == zone
    except (TimeZoneNotFoundError, ValueError, OSError):
        known = False
    if not known:
        raise InvalidTimezoneError(f"{zone!a} is not a time zone", hint=_zone_hint(zone))
    return zone


def _zone_hint(zone: str) -> str:
    from difflib import get_close_matches  # only on the way out

    from whenever import available_timezones

    if re.fullmatch(r"(GMT|UTC)[+-][0-9:]+", zone, re.IGNORECASE):
        return "offsets are no zones: name a place, as in Europe/Berlin, or write the offset into the instant"
    names = sorted(name for name in available_timezones() if not _NOT_IANA.match(name))
    folded = {name.lower(): name for name in names}
    folded |= {name.rpartition("/")[2].lower(): name for name in names if "/" in name}
    near = [folded[match] for match in get_close_matches(zone.lower(), folded, n=3)]
    return f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else "use an IANA name, as in Europe/Berlin"


def parse_fixed_time(text: str) -> FixedTime:
    """Parse the DURATION of a fixed-time wait. Raises `InvalidWaitDurationError`."""
    return FixedTime(parse_duration(text))


def parse_until_date(text: str) -> UntilDate:
    """Parse RFC 3339 or a local ``2026-12-24 18:00``; a date alone means 00:00. Raises `InvalidWaitDateError`."""
    stripped = text.strip()
    try:
        if matched := _INSTANT.fullmatch(stripped):
            return UntilDate(_with_offset(*matched.groups()))
        if matched := _LOCAL.fullmatch(stripped):
            date, time = matched.groups()
            return UntilDate(PlainDateTime.parse_iso(f"{date}T{time or '00:00'}"))
    except OverflowError as cause:
        raise InvalidWaitDateError(_OUTSIDE) from cause
    except ValueError as cause:
        raise InvalidWaitDateError(f"{text!r} is not a date on the calendar") from cause
    raise InvalidWaitDateError(
        f"{text!r} is not a date", hint="write 2026-12-24, '2026-12-24 18:00' or 2026-12-24T18:00:00+01:00"
    )


def parse_instant(text: str, what: str) -> datetime:
    """Parse an RFC 3339 instant with its offset; a bare date or local time is refused. Returns UTC.

    Raises `InvalidWaitDateError`, naming ``what``.
    """
    try:
        if (matched := _INSTANT.fullmatch(text.strip())) and matched[2]:
            at = _with_offset(*matched.groups()).astimezone(UTC)
            if at.year in YEARS:
                return at
            raise InvalidWaitDateError(f"{what}: {text!r} lies outside the years 1000 to 9899")
    except (ValueError, OverflowError) as cause:
        raise InvalidWaitDateError(f"{what}: {text!r} is not an instant on the calendar") from cause
    raise InvalidWaitDateError(
        f"{what}: {text!r} is not an instant", hint="write it with its offset, as in 2026-12-24T18:00:00Z"
    )


def _with_offset(date: str, time: str | None, offset: str) -> datetime:
    if time is None:
        raise ValueError("an offset needs a time of day")
    at = datetime.fromisoformat(f"{date}T{time}{offset.upper()}")
    at.astimezone(UTC)  # must be there, too
    return at


def parse_until_time(text: str) -> UntilTime:
    """Parse ``9``, ``09:00`` or ``09:00:30``. Raises `InvalidWaitTimeError`."""
    matched = _TIME_OF_DAY.fullmatch(text.strip())
    hour, minute, second = (int(part or 0) for part in matched.groups()) if matched else (24, 0, 0)
    if hour > 23 or minute > 59 or second > 59:
        raise InvalidWaitTimeError(f"{text!r} is not a time of day", hint="write it as 9, 09:00 or 09:00:30")
    return UntilTime(Time(hour, minute, second))


def resolve(intent: Intent, *, base: datetime, zone: str) -> Schedule:
    """Return the instant that ``intent`` means, counted from ``base`` (aware) in ``zone`` (IANA).

    A local time that the clocks skip moves forward by the gap, one that they repeat means the first
    (``compatible``: RFC 5545 section 3.3.5, TC39 Temporal). Raises `InvalidTimezoneError`, or
    `InvalidWaitDateError` when the instant lies outside `YEARS`.
    """
    check_zone(zone)
    try:
        schedule = _resolve(intent, base, zone)
    except (ValueError, OverflowError) as cause:
        raise InvalidWaitDateError(_OUTSIDE) from cause
    if schedule.at.year not in YEARS:
        raise InvalidWaitDateError(_OUTSIDE)
    return schedule


def _resolve(intent: Intent, base: datetime, zone: str) -> Schedule:
    match intent:
        case FixedTime():
            return _resolve_fixed_time(intent, base, zone)
        case UntilDate():
            return _resolve_until_date(intent, zone)
        case UntilTime():
            return _resolve_until_time(intent, base, zone)


def _resolve_fixed_time(intent: FixedTime, base: datetime, zone: str) -> Schedule:
    at = base + intent.duration.elapsed
    hours = _hours(intent.duration)
    return Schedule(at, (f"fixed-time {intent.duration}: {hours} after {_show(base, zone)}",))


def _hours(duration: Duration) -> str:
    if not duration.days:
        return f"{duration} of elapsed time"
    return f"{Duration(0, duration.elapsed)} of elapsed time"


def _resolve_until_date(intent: UntilDate, zone: str) -> Schedule:
    if isinstance(intent.moment, datetime):
        at = intent.moment.astimezone(UTC)
        return Schedule(at, (f"until-date {intent.moment.isoformat(' ')}: the instant {format_instant(at)}",))
    asked = f"until-date {_wall(intent.moment)}: that local time in {zone}"
    zoned, moved = _local_to_zone(intent.moment, zone)
    return Schedule(_to_datetime(zoned), (asked, *moved))


def _resolve_until_time(intent: UntilTime, base: datetime, zone: str) -> Schedule:
    start = Instant(base)
    today = start.to_tz(zone).date()
    asked = f"until-time {intent.time}: the next {intent.time} in {zone} after {_show(base, zone)}"
    for days in range(4):  # a zone that skips a whole day (Apia, 2011-12-30) needs one more than two
        local = today.add(days=days).at(intent.time)
        zoned, moved = _local_to_zone(local, zone)
        if zoned.to_instant() > start:
            return Schedule(_to_datetime(zoned), (asked, *moved))
    raise AssertionError(f"no {intent.time} within four days of {base} in {zone}")


def _local_to_zone(local: PlainDateTime, zone: str) -> tuple[ZonedDateTime, tuple[str, ...]]:
    zoned = local.assume_tz(zone, disambiguation="compatible")
    try:
        local.assume_tz(zone, disambiguation="raise")
    except SkippedTime:
        moved = f"moved forward by the gap to {_wall(zoned.to_plain())}"
        return zoned, (f"gap: {_wall(local)} does not exist in {zone}, the clocks skip it; {moved}",)
    except RepeatedTime:
        return zoned, (f"fold: {_wall(local)} comes twice in {zone}; the first one, at {_offset(zoned)}",)
    return zoned, ()


def _offset(zoned: ZonedDateTime) -> str:
    return zoned.to_fixed_offset().format_iso()[-6:]


def _to_datetime(zoned: ZonedDateTime) -> datetime:
    return zoned.to_instant().to_stdlib()


def _wall(local: PlainDateTime) -> str:
    return local.format_iso().replace("T", " ").removesuffix(":00")


def _show(at: datetime, zone: str) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if zone == "UTC" else f"{show_local(at, zone)} {zone}"


def show_local(at: datetime, zone: str) -> str:
    """The instant as clocks in ``zone`` show it: ``2026-12-24 18:00:00``."""
    return f"{Instant(at).to_tz(zone).to_plain().to_stdlib():%Y-%m-%d %H:%M:%S}"


def format_instant(at: datetime) -> str:
    """RFC 3339 in UTC with ``Z``; fractions of a second only where there are any."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
