"""Months, open time and ramps through the services: created, explained, replanned, moved, timed out."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.scene import NOON, Scene
from waitctl import (
    ReschedulingService,
    Rules,
    Settings,
    WaitRequest,
    WaitSchedulingService,
    WaitSpec,
    WaitType,
    parse_hours,
)
from waitctl.domain.durations import parse_duration
from waitctl.infrastructure.config import CalendarConfig

BERLIN = "Europe/Berlin"
OFFICE = Rules(window=parse_hours("mon-fri 09:00-17:00"))


def test_a_month_over_a_change_of_the_clocks(scene: Scene) -> None:
    """Noon in winter's UTC is 13:00 in Berlin, and so it is in April."""
    wait = scene.create("1mo", timezone=BERLIN).wait
    assert wait.scheduled_at == datetime(2026, 4, 1, 11, tzinfo=UTC)
    assert wait.wait_config["duration"] == "1mo"
    _, why = scene.rescheduling.explain_wait(wait.id)
    assert why[0].startswith("fixed-time 1mo: 1 calendar month after 2026-03-01 13:00:00 Europe/Berlin")
    assert scene.rescheduling.replan().changes == ()
    [change] = scene.rescheduling.replan(zone="America/New_York").changes
    assert change.after == datetime(2026, 4, 1, 11, tzinfo=UTC)  # 07:00 there, in March and in April
    moved, _ = scene.rescheduling.reschedule_wait(wait.id, by="+1mo")
    assert moved.wait.scheduled_at == datetime(2026, 5, 1, 11, tzinfo=UTC)


def test_a_day_of_a_month(scene: Scene) -> None:
    wait = scene.create("1mo", on="first monday", at="09:00", timezone=BERLIN).wait
    assert wait.scheduled_at == datetime(2026, 4, 6, 7, tzinfo=UTC)
    assert wait.wait_config["on"] == "first monday"
    assert not scene.create("1mo", on="first mon", at="9", timezone=BERLIN).created
    spec = WaitSpec("until", context={"ends": "2026-06-10T09:00"}, timezone=BERLIN)
    until = scene.waits.create_until_date_wait(None, spec, field="ends", on="last friday").wait
    assert until.scheduled_at == datetime(2026, 6, 26, 7, tzinfo=UTC)
    assert scene.rescheduling.replan().changes == ()


@pytest.mark.parametrize(
    ("timeout", "at"),
    [
        ("1mo", datetime(2026, 4, 1, 11, tzinfo=UTC)),
        ("1y", datetime(2027, 3, 1, 12, tzinfo=UTC)),
        ("4bh", datetime(2026, 3, 2, 12, tzinfo=UTC)),  # noon is a Sunday's
        ("12bh", datetime(2026, 3, 3, 12, tzinfo=UTC)),
        ("16bh", datetime(2026, 3, 3, 16, tzinfo=UTC)),  # at closing time in Berlin, and not a day later
        ("2bd", datetime(2026, 3, 3, 12, tzinfo=UTC)),
    ],
)
def test_deadlines(scene: Scene, timeout: str, at: datetime) -> None:
    wait = scene.listen(timeout=timeout, rules=OFFICE, timezone=BERLIN)
    assert wait.timeout_at == at
    assert scene.rescheduling.replan().changes == ()
    _, why = scene.rescheduling.explain_wait(wait.id)
    assert f"deadline: {timeout} on" in why
    scene.database.as_of = at - timedelta(seconds=1)
    assert scene.tick().timed_out == 0
    scene.database.as_of = at
    assert scene.tick().timed_out == 1


def test_open_time_of_a_named_calendar(scene: Scene) -> None:
    company = CalendarConfig("company", hours=parse_hours("mon-fri 09:00-17:00"), extra={date(2026, 3, 2): "closed"})
    settings = Settings(scene.url, calendars={"company": company})
    waits = WaitSchedulingService(scene.database, settings=settings)
    wait = waits.create_fixed_time_wait("9bh", WaitSpec("e", timezone=BERLIN), rules=Rules(calendar="company")).wait
    assert wait.scheduled_at == datetime(2026, 3, 4, 9, tzinfo=UTC)
    rescheduling = ReschedulingService(scene.database, settings=settings)
    assert rescheduling.replan().changes == ()
    _, why = rescheduling.explain_wait(wait.id)
    assert why[1] == (
        "open time: 9bh on from Sunday 2026-03-01 13:00 by the opening hours of company is Wednesday 2026-03-04 10:00"
    )
    moved, _ = rescheduling.reschedule_wait(wait.id, by="-1bh")
    assert moved.wait.scheduled_at == datetime(2026, 3, 4, 8, tzinfo=UTC)


# -- ramps ---------------------------------------------------------------------------------------------------------------

RAMP = parse_duration("30m")


def test_a_herd_is_a_ramp_for_good(scene: Scene) -> None:
    opens = datetime(2026, 3, 2, 8, tzinfo=UTC)
    rules = Rules(window=OFFICE.window, spread=RAMP)
    waits = [scene.create("1h", f"e{n}", rules=rules, timezone=BERLIN).wait for n in range(60)]
    found = [wait.scheduled_at or NOON for wait in waits]
    assert all(opens <= at < opens + timedelta(minutes=30) for at in found)
    assert len(set(found)) > 50
    assert scene.rescheduling.replan().changes == ()
    assert not scene.create("1h", "e0", rules=rules, timezone=BERLIN).created
    assert "of 30 min" in scene.rescheduling.explain_wait(waits[0].id)[1][-1]


def test_so_is_what_waited_for_an_opening(scene: Scene) -> None:
    """Events that came at night, and waits that a tick found late."""
    rules: dict[str, Any] = {"rules": Rules(window=OFFICE.window, spread=RAMP), "timezone": BERLIN}
    parked = [scene.listen(execution=f"p{n}", contact=f"c{n}", timeout=None, **rules) for n in range(20)]
    for n in range(20):
        scene.record(contact=f"c{n}")
    opens = datetime(2026, 3, 2, 8, tzinfo=UTC)
    found = {scene.get(wait).scheduled_at or NOON for wait in parked}
    assert all(opens <= at < opens + timedelta(minutes=30) for at in found)
    assert len(found) > 15
    assert scene.rescheduling.replan().changes == ()
    for n in range(20):
        scene.create("1d", f"late{n}", **rules)
    scene.database.as_of = datetime(2026, 3, 3, 20, tzinfo=UTC)  # a tick after a day without one, in the evening
    scene.tick()
    late = {scene.get(wait.wait).scheduled_at for wait in scene.waits.list_waits()[0] if wait.wait.status.is_open}
    assert len(late) > 15


def test_ten_zones_make_ten_ramps(scene: Scene) -> None:
    zones = [f"Etc/GMT+{hours}" for hours in range(10)]
    counts: Counter[int] = Counter()
    for n in range(200):
        wait = scene.waits.create_until_time_wait(
            "20:00",
            WaitSpec(f"e{n}", timezone=zones[n % 10]),
            rules=Rules(spread=parse_duration("1h")),
            dry_run=True,
        ).wait
        assert wait.wait_type is WaitType.UNTIL_TIME
        counts[((wait.scheduled_at or NOON) - NOON) // timedelta(hours=1)] += 1
    assert sorted(counts) == list(range(8, 18))
    assert set(counts.values()) == {20}


def test_many_at_once_are_a_ramp_and_each_in_its_zone(scene: Scene) -> None:
    """As one by one: what goes by the wait's id, or by its own context, is not shared by what was asked alike."""
    rules = Rules(spread=RAMP)
    zones = ("Europe/Berlin", "Asia/Tokyo")
    requests = [
        WaitRequest.until_time(
            "20:00", WaitSpec(f"many{n}", context={"tz": zones[n % 2]}, zone_field="tz"), rules=rules
        )
        for n in range(60)
    ]
    totals = scene.waits.create_waits(requests)
    assert (totals.created, totals.rejected) == (60, 0)
    waits = [each.wait for each in scene.waits.list_waits(limit=100)[0]]
    assert {wait.timezone for wait in waits} == set(zones)
    opens = {"Europe/Berlin": datetime(2026, 3, 1, 19, tzinfo=UTC), "Asia/Tokyo": datetime(2026, 3, 2, 11, tzinfo=UTC)}
    assert all(
        timedelta() <= (wait.scheduled_at or NOON) - opens[wait.timezone] < timedelta(minutes=30) for wait in waits
    )
    assert len({wait.scheduled_at for wait in waits}) > 50
    assert scene.rescheduling.replan().changes == ()
    assert scene.waits.create_waits(requests).existing == 60
