"""When it comes again: against minutes and days that are looked at one by one, in every zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random

import pytest
from dateutil.relativedelta import relativedelta

from tests.unit.random_cases import chance_of, local_time, number
from tests.unit.wall_clocks import all_zones, changes, gaps_to_another_day, read, shown
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import InvalidRecurrenceError
from waitctl.domain.instants import Dst
from waitctl.domain.intents import Rules
from waitctl.domain.occurrences import Occurrences, next_occurrence, preview
from waitctl.domain.recurrence import RecurrenceRule, parse_rrule

MINUTE = timedelta(minutes=1)
NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def following(rule: RecurrenceRule, zone: str, after: datetime, anchor: datetime | None = None) -> datetime | None:
    start = anchor or after
    found = next_occurrence(rule, zone, Rules(), None, anchor=start, base=start, after=after)
    return None if found is None else found.at


# -- cron, minute by minute ----------------------------------------------------------------------------------------------


def a_field(chance: Random, low: int, high: int, last: int) -> tuple[str, set[int]]:
    """A field of a cron expression, and what it means. Values up to ``high`` are named; ``last`` is the last there is."""
    whole = set(range(low, last + 1))
    match chance.randrange(5):
        case 0 | 1:
            return "*", whole
        case 2:
            value = chance.randint(low, high)
            return str(value), {value}
        case 3:
            first = chance.randint(low, high)
            until = chance.randint(first, high)
            return f"{first}-{until}", set(range(first, until + 1))
        case _:
            step = chance.choice((2, 3, 5, 10))
            return f"*/{step}", set(range(low, last + 1, step))


def an_expression(chance: Random) -> tuple[str, tuple[set[int], ...], tuple[bool, bool]]:
    fields = [a_field(chance, *bounds) for bounds in ((0, 59, 59), (0, 23, 23), (1, 28, 31), (1, 12, 12), (0, 6, 6))]
    restricted = (fields[2][0][0] != "*", fields[4][0][0] != "*")
    return " ".join(text for text, _ in fields), tuple(values for _, values in fields), restricted


def is_asked(local: datetime, values: tuple[set[int], ...], restricted: tuple[bool, bool]) -> bool:
    """Whether cron's page in section 5 of the manual means this local time."""
    minutes, hours, days, months, weekdays = values
    if local.minute not in minutes or local.hour not in hours or local.month not in months:
        return False
    by_day, by_weekday = local.day in days, local.isoweekday() % 7 in weekdays
    return by_day or by_weekday if all(restricted) else by_day and by_weekday


@pytest.mark.usefixtures("uncounted")
def test_cron_as_minutes_looked_at_one_by_one() -> None:
    """Half of them around a change of the clocks. What is asked for is a local time, read as any other is."""
    chance, zones = chance_of(11), all_zones()
    found = 0
    for _ in range(number(250)):
        zone = chance.choice(zones)
        known = changes(zone, range(2026, 2028))
        around = known and chance.random() < 0.5
        after = (chance.choice(known) if around else read(local_time(chance), zone)) + chance.randrange(
            -180, 180
        ) * MINUTE
        after = after.replace(second=0, microsecond=0)
        expression, values, restricted = an_expression(chance)
        minutes, hours, *_ = values
        expression = " ".join((*expression.split()[:2], "*", "*", "*")) if around else expression
        if around:
            values, restricted = (minutes, hours, set(range(1, 32)), set(range(1, 13)), set(range(7))), (False, False)
        span = 2 if around else 45
        local = shown(after, zone) - timedelta(hours=26)
        candidates = []
        for _ in range((span * 24 + 26) * 60 if around else 0):
            if is_asked(local, values, restricted):
                candidates.append(read(local, zone))
            local += MINUTE
        if not around:
            day = local.replace(hour=0, minute=0, second=0)
            for _ in range(span):
                if is_asked(day.replace(hour=min(hours), minute=min(minutes)), values, restricted):
                    candidates += [
                        read(day.replace(hour=hour, minute=minute), zone) for hour in hours for minute in minutes
                    ]
                day += timedelta(days=1)
        wanted = min((at for at in candidates if at > after), default=None)
        if wanted is None:
            continue
        found += 1
        assert following(RecurrenceRule(cron=expression), zone, after) == wanted, (expression, zone, after)
    assert found > 100


def test_a_whole_year_of_nine_oclock() -> None:
    """Each working day once, at nine by the clock, over both changes."""
    for zone in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC"):
        start = read(datetime(2026, 1, 1), zone)
        found = preview(RecurrenceRule(cron="0 9 * * mon-fri"), zone, Rules(), None, anchor=start, count=261)
        days = [datetime(2026, 1, 1, 9) + timedelta(days=n) for n in range(365)]
        assert [shown(at, zone) for at in found] == [day for day in days if day.isoweekday() < 6]


def test_a_minute_that_is_shown_twice_is_met_once() -> None:
    """Unlike cronsim and systemd, which run `*/15` through both of the hours: a cron of local times, and no timer."""
    start = datetime(2026, 10, 25, tzinfo=UTC) - timedelta(minutes=20)  # 01:40 in Berlin, at 02:59 the clocks go back
    found = preview(RecurrenceRule(cron="*/15 * * * *"), "Europe/Berlin", Rules(), None, anchor=start, count=6)
    assert [f"{at:%H:%M}" for at in found] == ["23:45", "00:00", "00:15", "00:30", "00:45", "02:00"]


# -- rules of RFC 5545, day by day ---------------------------------------------------------------------------------------

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def a_rule(chance: Random, start: datetime) -> tuple[str, list[datetime]]:
    """A rule and its local times in the 400 days after ``start``, each day looked at."""
    days = [start + timedelta(days=n) for n in range(400)]
    match chance.randrange(5):
        case 0:
            step = chance.randrange(1, 6)
            return f"FREQ=DAILY;INTERVAL={step}", days[::step]
        case 1:
            wanted = sorted(chance.sample(range(7), chance.randrange(1, 4)))
            names = ",".join(DAYS[day] for day in wanted)
            return f"FREQ=WEEKLY;BYDAY={names}", [day for day in days if day.weekday() in wanted]
        case 2:
            wanted_day = chance.randrange(1, 32)
            return f"FREQ=MONTHLY;BYMONTHDAY={wanted_day}", [day for day in days if day.day == wanted_day]
        case 3:
            place, weekday = chance.choice((1, 2, 3, 4, -1)), chance.randrange(7)
            text = f"FREQ=MONTHLY;BYDAY={place}{DAYS[weekday]}"
            return text, [day for day in days if day.weekday() == weekday and _place(day, place)]
        case _:
            return "FREQ=MONTHLY;BYMONTHDAY=-1", [day for day in days if (day + timedelta(days=1)).day == 1]


def _place(day: datetime, place: int) -> bool:
    if place < 0:
        return (day + timedelta(days=7)).month != day.month
    return (day.day - 1) // 7 + 1 == place


@pytest.mark.usefixtures("uncounted")
def test_rules_as_days_looked_at_one_by_one() -> None:
    chance, zones = chance_of(12), all_zones()
    for _ in range(number(600)):
        zone, start = chance.choice(zones), local_time(chance).replace(second=0)
        anchor = read(start, zone)
        text, locals_ = a_rule(chance, shown(anchor, zone))
        after = anchor + timedelta(hours=chance.randrange(24 * 300))
        wanted = min((at for at in (read(local, zone) for local in locals_) if at > after), default=None)
        if wanted is not None:
            assert following(RecurrenceRule(rrule=text), zone, after, anchor) == wanted, (text, zone, anchor, after)


def a_long_rule(chance: Random) -> str:
    parts = [f"FREQ={chance.choice(('HOURLY', 'DAILY', 'WEEKLY', 'MONTHLY'))}"]
    given = {
        "INTERVAL": str(chance.randrange(1, 6)),
        "BYDAY": ",".join(chance.sample(DAYS, 2)),
        "BYMONTH": ",".join(map(str, sorted(chance.sample(range(1, 13), 8)))),
        "BYHOUR": "9,17",
        "BYSETPOS": chance.choice(("1", "-1")),
        "WKST": chance.choice(DAYS),
    }
    parts += [f"{name}={value}" for name, value in given.items() if chance.random() < 0.4]
    if chance.random() < 0.2:
        parts.append("COUNT=50")
    return ";".join(parts)


def test_a_rule_need_not_be_walked_through_from_its_beginning() -> None:
    chance, tried = chance_of(15), 0
    for _ in range(number(1000)):
        text, start = a_long_rule(chance), local_time(chance)
        near = start + timedelta(hours=chance.randrange(24 * 150))
        try:
            walked, begun = (parse_rrule(text, start, "UTC", near=each) for each in (None, near))
        except InvalidRecurrenceError:  # it never comes
            continue
        found = [list(islice(each.xafter(near), 5)) for each in (walked, begun)]
        assert found[0] == found[1], (text, start, near)
        tried += len(found[0]) == 5
    assert tried > number(500)


# -- spans ---------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("uncounted")
def test_fixed_spans_as_relativedelta() -> None:
    chance, zones = chance_of(13), all_zones()
    for _ in range(number(1500)):
        zone, anchor = chance.choice(zones), read(local_time(chance).replace(second=0), "UTC")
        unit, amount = chance.choice(("h", "d", "w", "mo")), chance.randrange(1, 7)
        after = anchor + timedelta(minutes=chance.randrange(60 * 24 * 400))
        start = shown(anchor, zone)
        if unit == "h":
            count = (after - anchor) // timedelta(hours=amount) + 1
            wanted = anchor + count * timedelta(hours=amount)
        else:
            spans = (
                read(
                    start + (relativedelta(months=n) if unit == "mo" else timedelta(days=n if unit == "d" else 7 * n)),
                    zone,
                )
                for n in range(amount, 700, amount)
            )
            wanted = next(at for at in spans if at > after)
        rule = RecurrenceRule(every=parse_duration(f"{amount}{unit}", business=True), fixed=True)
        assert following(rule, zone, after, anchor) == wanted, (zone, anchor, after, amount, unit)


@pytest.mark.usefixtures("uncounted")
def test_days_are_counted_for_many_as_for_each_alone() -> None:
    chance = chance_of(16)
    gaps = [(zone, read(local, zone, Dst.EARLIER)) for zone, local in gaps_to_another_day()]
    day_left_out = ("Pacific/Apia", datetime(2011, 12, 30, tzinfo=UTC))
    for _ in range(number(300)):
        anywhere = (chance.choice(all_zones()), read(local_time(chance), "UTC"))
        zone, middle = chance.choice((chance.choice(gaps), day_left_out, anywhere))
        anchor = middle + timedelta(minutes=chance.randrange(-720, 720))
        rule = RecurrenceRule.parse(every=chance.choice(("1d", "2d", "1w", "1mo", "3bd")))
        rules = Rules(dst=chance.choice((Dst.COMPATIBLE, Dst.EARLIER, Dst.LATER)))
        bases = [middle + timedelta(minutes=chance.randrange(-2880, 2880)) for _ in range(20)]
        many = Occurrences(rule, zone, rules, None)
        for base in bases:
            found, alone = (
                each.next(anchor=anchor, base=base, after=base) for each in (many, Occurrences(rule, zone, rules, None))
            )
            assert found is not None and alone is not None
            assert (found.at, found.base) == (alone.at, alone.base), (rule, rules, zone, anchor, base)


def test_rules_are_read_back() -> None:
    for rule in (
        RecurrenceRule(every=parse_duration("1mo", business=True), fixed=True, count=3),
        RecurrenceRule(cron="0 9 * * mon-fri", until=datetime(2027, 1, 1, tzinfo=UTC)),
        RecurrenceRule(rrule="FREQ=DAILY"),
    ):
        assert RecurrenceRule.from_config(rule.to_config()) == rule.checked()


@pytest.mark.parametrize("alias", ["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@midnight", "@annually"])
def test_names_of_expressions(alias: str) -> None:
    after = datetime(2026, 2, 3, 4, 5, tzinfo=UTC)
    found = following(RecurrenceRule(cron=alias).checked(), "UTC", after)
    wanted = {
        "@hourly": datetime(2026, 2, 3, 5, tzinfo=UTC),
        "@weekly": datetime(2026, 2, 8, tzinfo=UTC),
        "@monthly": datetime(2026, 3, 1, tzinfo=UTC),
        "@yearly": datetime(2027, 1, 1, tzinfo=UTC),
        "@annually": datetime(2027, 1, 1, tzinfo=UTC),
    }
    assert found == wanted.get(alias, datetime(2026, 2, 4, tzinfo=UTC))


def test_until_a_local_time_is_the_one_where_the_waits_are() -> None:
    rule = RecurrenceRule.parse(cron="30 2 * * *", until="2026-10-25 02:30")
    assert RecurrenceRule.from_config(rule.to_config()) == rule
    assert rule.ends_at("Europe/Berlin") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # the first of two
    assert rule.ends_at("America/New_York") == datetime(2026, 10, 25, 6, 30, tzinfo=UTC)
    for zone in ("Europe/Berlin", "America/New_York"):
        start = datetime(2026, 10, 23, 12, tzinfo=UTC)
        assert preview(rule, zone, Rules(), None, anchor=start, count=9)[-1] == rule.ends_at(zone)
    instant = RecurrenceRule.parse(every="1w", until="2026-12-31T10:00:00+01:00")
    assert instant.to_config()["until"] == "2026-12-31T09:00:00Z"
