"""Instants and local times: zones, the clocks' gaps and folds, and how instants are read and written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from math import isfinite
from typing import Literal, NamedTuple

from waitctl.domain import clocks
from waitctl.domain.errors import InvalidTimezoneError, InvalidWaitDateError, InvalidWaitTimeError
from waitctl.domain.patterns import pattern

YEARS = range(1000, 9900)
"""The years that instants may lie in: so far from the ends of every calendar that no zone and no sum leaves it."""

OUTSIDE = "the instant lies outside the years 1000 to 9899"

_MOMENT = pattern(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?))?"
    r"(?: ?(Z|[+-][0-9]{2}(?::?[0-5][0-9])?))?",
    re.IGNORECASE,
)
_EPOCH = pattern(r"(?:[0-9]{9,10}|[0-9]{13})(?:\.[0-9]+)?")
"""Seconds since 1970 from 1973 on, milliseconds from 2001 on, up to 2286: with other digits it may be anything."""
_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
# As most programs write it: read at once, since a stream of events holds one a line.
_PLAIN_INSTANT = pattern(r"(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z")
_NOT_IANA = pattern(r"(posix|right)/|localtime$|posixrules$|Factory$")


class Dst(StrEnum):
    """What a local time means that the clocks skip (gap) or show twice (fold)."""

    COMPATIBLE = "compatible"
    """Past the gap by its length; the first of two (RFC 5545 section 3.3.5, TC39 Temporal)."""
    EARLIER = "earlier"
    """Before the gap by its length; the first of two."""
    LATER = "later"
    """Past the gap by its length; the second of two."""
    REJECT = "reject"
    """An error."""


_DISAMBIGUATION: Mapping[Dst, Literal["compatible", "earlier", "later"]] = {
    Dst.COMPATIBLE: "compatible",
    Dst.EARLIER: "earlier",
    Dst.LATER: "later",
}


def unless_final(dst: Dst) -> Dst:
    """How to read a local time that other rules may still move: ``reject`` waits until it is final."""
    return Dst.COMPATIBLE if dst is Dst.REJECT else dst


class Adjustment(NamedTuple):
    """A gap or a fold that a local time fell into, and the instant it came to."""

    kind: str
    asked: clocks.PlainDateTime
    zone: str
    at: clocks.ZonedDateTime

    def __str__(self) -> str:
        zone = self.zone
        if self.kind == "gap":
            got, day = self.at.to_plain(), self.asked.date()
            way = "forward" if got > self.asked else "back"
            kept = "" if got.date() == day else f"; for rules about days it stays {show_day(day)}"
            return (
                f"gap: {wall(self.asked)} does not exist in {zone}, the clocks skip it; "
                f"moved {way} by the gap to {wall(got)}{kept}"
            )
        first = self.at.strict_eq(self.asked.assume_tz(zone, disambiguation="earlier"))
        which = "first" if first else "second"
        return f"fold: {wall(self.asked)} comes twice in {zone}; the {which} one, at {offset_of(self.at)}"

    @property
    def refusal(self) -> InvalidWaitTimeError:
        """What ``--dst reject`` says to it."""
        why = "does not exist in" if self.kind == "gap" else "comes twice in"
        return InvalidWaitTimeError(
            f"{wall(self.asked)} {why} {self.zone}: the clocks change then, and --dst reject wants no guess",
            hint="--dst compatible, earlier or later decides it",
        )


def to_zone(
    local: clocks.PlainDateTime, zone: str, dst: Dst = Dst.COMPATIBLE
) -> tuple[clocks.ZonedDateTime, Adjustment | None]:
    """Return when clocks in ``zone`` show ``local``, and what had to be decided.

    Raises `InvalidWaitTimeError` in a gap or a fold when ``dst`` is ``reject``.
    """
    try:
        return local.assume_tz(zone, disambiguation="raise"), None
    except (clocks.SkippedTime, clocks.RepeatedTime) as found:
        at = local.assume_tz(zone, disambiguation=_DISAMBIGUATION[unless_final(dst)])
        adjustment = Adjustment("gap" if isinstance(found, clocks.SkippedTime) else "fold", local, zone, at)
        if dst is Dst.REJECT:
            raise adjustment.refusal from found
        return at, adjustment


def refuse_adjusted(moves: Sequence[object]) -> None:
    """Raise `InvalidWaitTimeError` when what came last was a gap or a fold: for ``reject``, once all is read."""
    if moves and isinstance(moves[-1], Adjustment):
        raise moves[-1].refusal


def check_zone(zone: str) -> str:
    """Return ``zone`` when it is the exact name of an IANA time zone; raise `InvalidTimezoneError` otherwise."""
    if zone == "UTC":  # which all rules have
        return zone
    try:
        known = not _NOT_IANA.match(zone) and clocks.Instant.from_utc(2000, 1, 1).to_tz(zone).tz_id == zone
    except (clocks.TimeZoneNotFoundError, ValueError, OSError):
        known = False
    if not known:
        raise InvalidTimezoneError(f"{zone!a} is not a time zone", hint=_zone_hint(zone))
    return zone


def zone_name(zone: object) -> str:
    """The name of a zone as Python programs have it: a text, a `ZoneInfo`, `datetime.UTC`.

    Raises `InvalidTimezoneError` for what has no name, such as an offset.
    """
    if isinstance(zone, str):
        return zone
    name = "UTC" if zone is UTC else getattr(zone, "key", None)
    if not isinstance(name, str):
        raise InvalidTimezoneError(f"{zone!r:.80} is not a time zone", hint="use an IANA name, as in Europe/Berlin")
    return name


def instant_given(value: object, what: str) -> datetime:
    """An instant as Python programs have it: an aware `datetime`, or a text as `parse_instant` reads it.

    Raises `InvalidWaitDateError`, also for a date alone, which is no instant.
    """
    if isinstance(value, str):
        return parse_instant(value, what)
    if not isinstance(value, datetime):
        raise InvalidWaitDateError(f"{what}: {value!r:.80} is not an instant", hint="give a datetime with a tzinfo")
    if value.tzinfo is None:
        raise InvalidWaitDateError("a naive datetime is no instant", hint="give it a tzinfo, or pass a text")
    return value


_PLACES: Mapping[str, str] = {
    **dict.fromkeys(("PST", "PDT", "PT"), "America/Los_Angeles"),
    **dict.fromkeys(("MDT", "MT"), "America/Denver"),
    **dict.fromkeys(("CST", "CDT", "CT"), "America/Chicago"),
    **dict.fromkeys(("EDT", "ET"), "America/New_York"),
    **dict.fromkeys(("AKST", "AKDT"), "America/Anchorage"),
    **dict.fromkeys(("AST", "ADT"), "America/Halifax"),
    **dict.fromkeys(("NST", "NDT"), "America/St_Johns"),
    **dict.fromkeys(("BRT", "BRST"), "America/Sao_Paulo"),
    **dict.fromkeys(("BST",), "Europe/London"),
    **dict.fromkeys(("WEST",), "Europe/Lisbon"),
    **dict.fromkeys(("CEST", "MEZ", "MESZ"), "Europe/Berlin"),
    **dict.fromkeys(("EEST",), "Europe/Athens"),
    **dict.fromkeys(("MSK",), "Europe/Moscow"),
    **dict.fromkeys(("SAST",), "Africa/Johannesburg"),
    **dict.fromkeys(("GST",), "Asia/Dubai"),
    **dict.fromkeys(("IST",), "Asia/Kolkata"),
    **dict.fromkeys(("SGT",), "Asia/Singapore"),
    **dict.fromkeys(("HKT",), "Asia/Hong_Kong"),
    **dict.fromkeys(("JST",), "Asia/Tokyo"),
    **dict.fromkeys(("KST",), "Asia/Seoul"),
    **dict.fromkeys(("AWST",), "Australia/Perth"),
    **dict.fromkeys(("ACST", "ACDT"), "Australia/Adelaide"),
    **dict.fromkeys(("AEST", "AEDT"), "Australia/Sydney"),
    **dict.fromkeys(("NZST", "NZDT"), "Pacific/Auckland"),
    "Z": "UTC",
}
"""What is most often meant by abbreviations that name no zone, or several (IST: India, Ireland, Israel)."""


def _zone_hint(zone: str) -> str:
    from difflib import get_close_matches  # only on the way out

    if re.fullmatch(r"(GMT|UTC)[+-][0-9:]+", zone, re.IGNORECASE):
        return "offsets are no zones: name a place, as in Europe/Berlin, or write the offset into the instant"
    if place := _PLACES.get(zone.upper()):
        return f"abbreviations are no zones: did you mean {place}?"
    names = sorted(name for name in clocks.available_timezones() if not _NOT_IANA.match(name))
    folded = {name.rpartition("/")[2].lower(): name for name in names if "/" in name}
    folded |= {name.lower(): name for name in names}
    near = [folded[match] for match in get_close_matches(zone.lower(), folded, n=3)]
    return f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else "use an IANA name, as in Europe/Berlin"


def parse_instant(value: str | float | Decimal, what: str, *, epoch: bool = False) -> datetime:
    """Parse an instant as programs write it. A bare date or local time is refused. Returns UTC.

    RFC 3339, with a blank for ``T`` if it likes, an offset of hours alone or without a colon, and ``:60``, which is the
    next second. With ``epoch`` also seconds or milliseconds since 1970, as a number or as its text. Raises
    `InvalidWaitDateError`, naming ``what``.
    """
    if isinstance(value, str) and _PLAIN_INSTANT.fullmatch(value):
        with suppress(ValueError):  # said below, in words
            return datetime.fromisoformat(value)
    try:
        moment = parse_moment(value, epoch=epoch)
    except InvalidWaitDateError as error:
        raise InvalidWaitDateError(f"{what}: {error.message}", hint=error.hint) from error
    if isinstance(moment, clocks.PlainDateTime):
        raise InvalidWaitDateError(
            f"{what}: {value!r} is not an instant", hint="write it with its offset, as in 2026-12-24T18:00:00Z"
        )
    if moment.year not in YEARS:
        raise InvalidWaitDateError(f"{what}: {value!r} lies outside the years 1000 to 9899")
    return moment.astimezone(UTC)


def parse_moment(value: str | float | Decimal, *, epoch: bool = False) -> datetime | clocks.PlainDateTime:
    """Parse an instant, as `parse_instant` does, or a local time: a date alone means 00:00.

    An instant is returned in the offset that it was written in. Raises `InvalidWaitDateError`.
    """
    text = value.strip() if isinstance(value, str) else _number_text(value)
    if epoch and _EPOCH.fullmatch(text):
        unit = 1000 if len(text.partition(".")[0]) == 13 else 1_000_000
        return _EPOCH_START + timedelta(microseconds=int(Decimal(text) * unit))
    matched = _MOMENT.fullmatch(text)
    if not matched:
        raise InvalidWaitDateError(
            f"{value!r} is not a date", hint="write 2026-12-24, '2026-12-24 18:00' or 2026-12-24T18:00:00+01:00"
        )
    try:
        return _moment(*matched.groups())
    except OverflowError as cause:
        raise InvalidWaitDateError(f"{value!r}: {OUTSIDE}") from cause
    except ValueError as cause:
        raise InvalidWaitDateError(f"{value!r} is not on the calendar") from cause


def _moment(date: str, time: str | None, offset: str | None) -> datetime | clocks.PlainDateTime:
    if time is None and offset is not None:
        raise ValueError("an offset needs a time of day")
    time = time or "00:00"
    leap = time[6:8] == "60"
    if leap:
        time = f"{time[:6]}59{time[8:]}"
    if offset is None:
        local = clocks.PlainDateTime.parse_iso(f"{date}T{time}")
        return clocks.PlainDateTime(local.to_stdlib() + _SECOND) if leap else local
    at = datetime.fromisoformat(f"{date}T{time}{offset.upper()}") + leap * _SECOND
    at.astimezone(UTC)  # must be there, too
    return at


_TOKENS = {"YYYY": "[0-9]{4}", "MM": "[0-9]{2}", "DD": "[0-9]{2}", "HH": "[0-9]{2}", "mm": "[0-9]{2}", "ss": "[0-9]{2}"}
_TOKEN = pattern("|".join(_TOKENS))


def check_date_format(text: str) -> str:
    """Return ``text`` when it is a format for `parse_formatted`: ``DD.MM.YYYY``, ``MM/DD/YYYY HH:mm``.

    Raises `InvalidWaitDateError`.
    """
    found = _TOKEN.findall(text)
    rest = _TOKEN.sub("", text)
    whole = {"YYYY", "MM", "DD"} <= set(found) and len(set(found)) == len(found)
    if not whole or re.search(r"[A-Za-z0-9]", rest.replace("T", "")) or ("mm" in found and "HH" not in found):
        raise InvalidWaitDateError(
            f"{text[:80]!a} is no format of a date",
            hint="made of YYYY, MM, DD and perhaps HH, mm, ss, as in DD.MM.YYYY or 'MM/DD/YYYY HH:mm'",
        )
    return text


def parse_formatted(value: object, pattern: str) -> clocks.PlainDateTime:
    """Parse a local date as ``pattern`` has it; without a time of day it means 00:00. Raises `InvalidWaitDateError`."""
    names = _TOKEN.findall(check_date_format(pattern))
    parts = [_TOKENS[part] if part in _TOKENS else re.escape(part) for part in re.split(f"({_TOKEN.pattern})", pattern)]
    expression = "".join(f"({part})" if part in _TOKENS.values() else part for part in parts)
    matched = re.fullmatch(expression, value.strip()) if isinstance(value, str) else None
    if matched is None:
        raise InvalidWaitDateError(f"{value!r} is not a date written as {pattern}")
    found = dict(zip(names, map(int, matched.groups()), strict=True))
    try:
        time = [found.get(name, 0) for name in ("HH", "mm", "ss")]
        return clocks.PlainDateTime(found["YYYY"], found["MM"], found["DD"], *time)
    except ValueError as cause:
        raise InvalidWaitDateError(f"{value!r} is not on the calendar") from cause


def _number_text(value: float | Decimal) -> str:
    is_number = isinstance(value, int) or isfinite(value)
    if isinstance(value, bool) or not is_number or not 0 <= value < 10**14:
        raise InvalidWaitDateError("that number is not a date", hint="seconds or milliseconds since 1970")
    return f"{Decimal(str(value)):f}"


@lru_cache(maxsize=256)
def format_instant(at: datetime) -> str:
    """RFC 3339 in UTC with ``Z``; fractions of a second only where there are any.

    Kept, since the documents of a batch say the same few instants again and again.
    """
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat()[:-6] + "Z"


def show(at: datetime, zone: str) -> str:
    """The instant as clocks in ``zone`` show it, with the zone: ``2026-12-24 18:00:00 Europe/Berlin``."""
    return f"{show_local(at, zone)} {zone}"


def show_soon(at: datetime, zone: str) -> str:
    """The instant for people who plan their week: ``Mon 2026-03-02 09:00 Europe/Berlin``."""
    local = clocks.Instant(at).to_tz(zone).to_plain()
    return f"{local.date().day_of_week().name.capitalize()[:3]} {wall(local)} {zone}"


def moment_text(moment: datetime | clocks.PlainDateTime) -> str:
    """An instant in UTC or a local time, as `parse_moment` reads it."""
    return format_instant(moment) if isinstance(moment, datetime) else moment.format_iso()


def show_local(at: datetime, zone: str) -> str:
    """The instant as clocks in ``zone`` show it: ``2026-12-24 18:00:00``."""
    local = at.astimezone(UTC) if zone == "UTC" else clocks.Instant(at).to_tz(zone).to_plain().to_stdlib()
    return f"{local:%Y-%m-%d %H:%M:%S}"


def wall(local: clocks.PlainDateTime) -> str:
    """A local time for people: ``2026-12-24 18:00``."""
    return local.format_iso().replace("T", " ").removesuffix(":00")


def clock(time: clocks.Time) -> str:
    """A time of day for people: ``09:00``, ``09:00:30``."""
    return f"{time.hour:02}:{time.minute:02}" + (f":{time.second:02}" if time.second else "")


def show_day(day: clocks.Date) -> str:
    """A day for people: ``Monday 2026-12-28``."""
    return f"{day.day_of_week().name.capitalize()} {day.format_iso()}"


def offset_of(zoned: clocks.ZonedDateTime) -> str:
    """The offset from UTC: ``+01:00``, with seconds where old rules have them."""
    return re.sub(r".*(?=[+-])", "", zoned.to_fixed_offset().format_iso())
