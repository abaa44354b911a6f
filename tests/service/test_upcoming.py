"""What will fire, hour by hour and day by day: counted in the database, folded by the clocks of a zone."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.cli.processes import Waitctl
from tests.scene import NOON, Scene
from waitctl import WaitSpec
from waitctl.application.waits.upcoming import Upcoming, list_upcoming
from waitctl.domain.errors import InvalidTimezoneError, InvalidWaitConfigurationError, InvalidWaitDateError
from waitctl.domain.upcoming import Grain, bucket_starts, fold
from waitctl.infrastructure.executor import Connection

HOUR = timedelta(hours=1)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def filled(found: Upcoming) -> dict[str, tuple[int, int]]:
    """The buckets that hold anything: local start, (scheduled, timeouts)."""
    zone = ZoneInfo(found.timezone)
    return {
        f"{bucket.start.astimezone(zone):%m-%d %H:%M}": (bucket.scheduled, bucket.timeouts)
        for bucket in found.buckets
        if bucket.total
    }


# -- what counts -------------------------------------------------------------------------------------------------------


def test_nothing_is_a_histogram_of_zeros(scene: Scene) -> None:
    scene.create()  # makes the database where there is none
    scene.waits.cancel_execution("e")
    document = list_upcoming(scene.database).to_json()
    assert {key: value for key, value in document.items() if key != "buckets"} == {
        "by": "hour",
        "timezone": "UTC",
        "from": "2026-03-01T12:00:00Z",
        "until": "2026-03-02T12:00:00Z",
        "overdue": 0,
        "later": 0,
    }
    starts = [f"{NOON + number * HOUR:%Y-%m-%dT%H:%M:%SZ}" for number in range(24)]
    assert document["buckets"] == [{"start": at, "scheduled": 0, "timeouts": 0, "total": 0} for at in starts]


def test_scheduled_waits_and_timeouts_are_counted_apart(scene: Scene) -> None:
    for number, span in enumerate(("1m", "59m", "1h", "90m", "23h59m59s", "24h", "30d")):
        scene.create(span, f"timed-{number}")
    scene.listen(execution="hears-1", timeout="90m")
    scene.listen("email_open", "sms_reply", "form_submit", execution="hears-2", timeout="90m", grace="2h")
    scene.listen(execution="hears-3", timeout="3d")
    scene.listen(execution="for-ever", timeout=None)
    found = list_upcoming(scene.database)
    assert filled(found) == {
        "03-01 12:00": (2, 0),
        "03-01 13:00": (2, 1),
        "03-01 15:00": (0, 1),  # three listeners are one wait, and it times out at the end of its grace
        "03-02 11:00": (1, 0),
    }
    assert (found.overdue, found.later, found.total) == (0, 3, 10)


def test_what_has_ended_does_not_count(scene: Scene) -> None:
    done = scene.create("10m", "done").wait
    scene.create("20m", "cancelled")
    scene.waits.cancel_execution("cancelled")
    scene.listen(execution="heard", contact="bob")
    scene.record(contact="bob")
    scene.at(15).tick()
    assert scene.statuses(done) == "resumed"
    scene.listen("email_open", "sms_reply", execution="resumed", contact="eve")
    scene.waits.cancel_execution("resumed")
    assert list_upcoming(scene.database).total == 0


def test_past_its_instant_a_wait_is_overdue(scene: Scene) -> None:
    scene.create("30m", "timed-1")
    scene.create("31m", "timed-2")
    scene.listen(execution="hears-1", timeout="30m")
    scene.listen(execution="hears-2", timeout="20m", grace="11m")
    found = list_upcoming(scene.at(30).database)
    assert (found.overdue, filled(found)) == (2, {"03-01 12:00": (1, 1)})
    found = list_upcoming(scene.at(31).database)
    assert (found.overdue, found.total) == (4, 4)
    # Overdue is what a tick ends.
    report = scene.tick()
    assert (report.resumed, report.timed_out) == (2, 2)
    assert list_upcoming(scene.database).total == 0


def test_until_is_exclusive(scene: Scene) -> None:
    for minutes in (119, 120, 121, 179):
        scene.create(f"{minutes}m", f"e-{minutes}")
    until = NOON + 2 * HOUR
    for asked in (until, 2 * HOUR):
        found = list_upcoming(scene.database, until=asked)
        assert (found.until, len(found.buckets)) == (until, 2)
        assert (filled(found), found.later) == ({"03-01 13:00": (1, 0)}, 3)
    found = list_upcoming(scene.database, until=until + timedelta(minutes=1))
    assert len(found.buckets) == 3
    assert (filled(found), found.later) == ({"03-01 13:00": (1, 0), "03-01 14:00": (1, 0)}, 2)


def test_the_first_bucket_is_the_hour_or_day_of_now(scene: Scene) -> None:
    scene.create("100m")
    scene.at(59)
    found = list_upcoming(scene.database)
    assert (found.buckets[0].start, found.until, len(found.buckets)) == (NOON, NOON + 24 * HOUR, 24)
    found = list_upcoming(scene.database, grain=Grain.DAY)
    assert found.buckets[0].start == instant("2026-03-01T00:00Z")
    assert (found.until, len(found.buckets)) == (instant("2026-03-15T00:00Z"), 14)
    assert filled(found) == {"03-01 00:00": (1, 0)}


def test_one_workflow_alone(scene: Scene) -> None:
    scene.create("1h", "a", workflow_id="billing")
    scene.create("1h", "b")
    scene.create("30d", "c", workflow_id="billing")
    scene.listen(execution="d", workflow_id="billing")
    scene.listen(execution="e", workflow_id="other")
    found = list_upcoming(scene.database, workflow_id="billing")
    assert (filled(found), found.overdue, found.later) == ({"03-01 13:00": (1, 1)}, 0, 1)
    found = list_upcoming(scene.at(60).database, workflow_id="billing")
    assert (found.overdue, found.total) == (2, 3)
    assert list_upcoming(scene.database, workflow_id="none").total == 0


def create_at(scene: Scene, ends: list[datetime]) -> None:
    """A scheduled wait for each instant, in one transaction."""

    def work(connection: Connection) -> None:
        for number, at in enumerate(ends):
            scene.waits.create_until_date_wait(at, WaitSpec(f"timed-{number}"), connection=connection)

    scene.database.write(work)


def test_a_moment_before_and_after_every_quarter_of_an_hour(scene: Scene) -> None:
    """Against a count made here, in zones that are off by odd quarters."""
    moments = (timedelta(microseconds=-1), timedelta(0), timedelta(microseconds=1))
    ends = [NOON + timedelta(minutes=15 * number) + moment for number in range(1, 100) for moment in moments]
    create_at(scene, ends)
    for name in ("UTC", "Asia/Kolkata", "Asia/Kathmandu"):
        found = list_upcoming(scene.database, timezone=name, until=timedelta(days=3))
        expected = Counter(f"{at.astimezone(ZoneInfo(name)):%m-%d %H:00}" for at in ends)
        assert {start: scheduled for start, (scheduled, _) in filled(found).items()} == expected


# -- clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day", "quarters", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 92, 23),
        ("Europe/Berlin", "2026-10-25", 100, 25),
        ("America/New_York", "2026-03-08", 92, 23),
        ("Australia/Lord_Howe", "2026-10-04", 94, 24),
        ("Australia/Lord_Howe", "2026-04-05", 98, 24),
        ("Africa/Cairo", "2026-04-24", 92, 23),  # midnight does not exist
        ("Asia/Kolkata", "2026-03-29", 96, 24),
    ],
)
def test_days_are_as_long_as_clocks_make_them(scene: Scene, zone: str, day: str, quarters: int, hours: int) -> None:
    """A wait a quarter of an hour, from the day before to the day after: as many fall on each day as it has."""
    there = ZoneInfo(zone)
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=there).astimezone(UTC)
    scene.database.as_of = noon - timedelta(hours=36)
    ends = [noon + timedelta(minutes=15 * number, seconds=1) for number in range(-96, 97)]
    create_at(scene, ends)

    for grain, shown, how_many in ((Grain.DAY, "%Y-%m-%d", 1), (Grain.HOUR, "%Y-%m-%d %H", hours)):
        found = list_upcoming(scene.database, timezone=zone, grain=grain, until=timedelta(days=3))
        counted: Counter[str] = Counter()
        for bucket in found.buckets:
            counted[f"{bucket.start.astimezone(there):{shown}}"] += bucket.scheduled
        assert +counted == Counter(f"{at.astimezone(there):{shown}}" for at in ends)
        of_the_day = [bucket for bucket in found.buckets if str(bucket.start.astimezone(there).date()) == day]
        assert (len(of_the_day), sum(bucket.scheduled for bucket in of_the_day)) == (how_many, quarters)


@pytest.mark.parametrize(
    ("zone", "now", "minutes"),
    [
        ("Europe/Berlin", "2026-10-25T01:10+02:00", [60, 60, 60]),
        ("Europe/Berlin", "2026-03-29T01:10+01:00", [60, 60, 60]),
        ("Asia/Kolkata", "2026-03-01T12:00+00:00", [60, 60, 60]),
        ("Asia/Kathmandu", "2026-03-01T12:00+00:00", [60, 60, 60]),
        ("Australia/Lord_Howe", "2026-04-05T00:10+11:00", [60, 90, 60]),  # 01:30 to 02:00 comes twice
        ("Australia/Lord_Howe", "2026-10-04T01:10+10:30", [60, 30, 60]),  # 02:00 to 02:30 never
    ],
)
def test_hours_are_as_long_as_clocks_make_them(zone: str, now: str, minutes: list[int]) -> None:
    starts, until = bucket_starts(instant(now), timedelta(hours=8), zone, Grain.HOUR)
    assert [(after - start) // timedelta(minutes=1) for start, after in pairwise(starts[:4])] == minutes
    assert starts[0] <= instant(now) < starts[1]
    assert starts[-1] < until == instant(now) + timedelta(hours=8)


def test_a_day_that_never_was_has_no_bucket() -> None:
    """Samoa went from the 29th to the 31st of December 2011."""
    starts, _ = bucket_starts(instant("2011-12-29T10:00-10:00"), timedelta(days=3), "Pacific/Apia", Grain.DAY)
    days = [f"{start.astimezone(ZoneInfo('Pacific/Apia')):%d}" for start in starts]
    assert days == ["29", "31", "01", "02"]


def test_folding_loses_nothing_where_clocks_were_off_by_minutes() -> None:
    """Monrovia was 44:30 behind until 1972: its hours begin within a quarter of an hour."""
    now = datetime(1970, 1, 1, 0, 45, tzinfo=UTC)
    starts, _ = bucket_starts(now, None, "Africa/Monrovia", Grain.HOUR)
    assert starts[0] > datetime(1970, 1, 1, 0, 30, tzinfo=UTC)
    buckets = fold(starts, {2: 3, 3: 4, 95: 1}, {2: 5})
    assert sum(bucket.total for bucket in buckets) == 13
    assert (buckets[0].scheduled, buckets[0].timeouts) == (7, 5)


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_two_thousand_buckets_at_most(sqlite_scene: Scene) -> None:
    sqlite_scene.create()
    found = list_upcoming(sqlite_scene.database, until=2000 * HOUR)
    assert len(found.buckets) == 2000
    with pytest.raises(InvalidWaitDateError, match="more than 2,000 hours") as error:
        list_upcoming(sqlite_scene.database, until=2000 * HOUR + timedelta(microseconds=1))
    assert "--by day" in str(error.value.hint)
    with pytest.raises(InvalidWaitDateError, match="more than 2,000 days"):
        list_upcoming(sqlite_scene.database, grain=Grain.DAY, until=instant("9000-01-01T00:00Z"))


def test_misuse(sqlite_scene: Scene) -> None:
    sqlite_scene.create()
    for past in (NOON, NOON - HOUR, timedelta(0)):
        with pytest.raises(InvalidWaitDateError, match="not after now"):
            list_upcoming(sqlite_scene.database, until=past)
    with pytest.raises(InvalidTimezoneError):
        list_upcoming(sqlite_scene.database, timezone="Mars/Olympus")
    with pytest.raises(InvalidWaitConfigurationError):
        list_upcoming(sqlite_scene.database, workflow_id="")


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(scene: Scene, tmp_path: Path) -> Waitctl:
    """`waitctl` at noon, on a database with a few waits."""
    for number, span in enumerate(("30m", "90m", "90m", "90m", "90m", "30d")):
        scene.create(span, f"timed-{number}")
    scene.create("1h", "late", base=NOON - 2 * HOUR)
    scene.listen(execution="hears", timeout="90m", grace="30m")
    return Waitctl(tmp_path, scene.url)


NOW = {"WAITCTL_AS_OF": "2026-03-01T12:00:00Z"}


def test_the_document(command: Waitctl, tmp_path: Path) -> None:
    document = command("upcoming", "--until", "2h30m", "-o", "json", env=NOW).ok().json
    assert document == {
        "by": "hour",
        "timezone": "UTC",
        "from": "2026-03-01T12:00:00Z",
        "until": "2026-03-01T14:30:00Z",
        "overdue": 1,
        "buckets": [
            {"start": "2026-03-01T12:00:00Z", "scheduled": 1, "timeouts": 0, "total": 1},
            {"start": "2026-03-01T13:00:00Z", "scheduled": 4, "timeouts": 0, "total": 4},
            {"start": "2026-03-01T14:00:00Z", "scheduled": 0, "timeouts": 1, "total": 1},
        ],
        "later": 1,
    }
    until = ["--until", "2026-03-01T15:30:00+01:00", "-o", "json"]
    assert command("upcoming", *until, env=NOW).ok().json == document
    (tmp_path / "config.toml").write_text('timezone = "Asia/Kolkata"')
    env = NOW | {"WAITCTL_CONFIG": "config.toml"}
    configured = command("upcoming", *until, env=env).ok().json
    assert configured["timezone"] == "Asia/Kolkata"
    assert [bucket["start"][11:16] for bucket in configured["buckets"]] == ["11:30", "12:30", "13:30"]
    [line] = command("upcoming", "--tz", "UTC", *until[:2], "-o", "ndjson", env=env).ok().lines
    assert json.loads(line) == document


def test_for_people(command: Waitctl) -> None:
    lines = command("upcoming", "--until", "4h", "--tz", "Europe/Berlin", env=NOW).ok().lines
    assert [line.split() for line in lines] == [
        ["WHEN", "(Europe/Berlin)", "TOTAL", "SCHEDULED", "TIMEOUTS"],
        ["overdue", "1"],
        ["sun", "2026-03-01", "13:00", "1", "1", "0", "######"],
        ["sun", "2026-03-01", "14:00", "4", "4", "0", "#" * 25],
        ["sun", "2026-03-01", "15:00", "1", "0", "1", "######"],
        ["sun", "2026-03-01", "16:00", "0", "0", "0"],
        ["later", "1"],
    ]
    days = command("upcoming", "--by", "day", "--until", "2d", "-w", "none", env=NOW)
    assert (days.code, days.out, days.err) == (0, "", "nothing is coming\n")
    days = command("upcoming", "--by", "day", "--until", "1d", env=NOW).ok()
    assert [line.split()[:3] for line in days.lines[2:4]] == [["sun", "2026-03-01", "6"], ["mon", "2026-03-02", "0"]]


def test_an_hour_that_comes_twice_shows_its_offset(sqlite_scene: Scene, tmp_path: Path) -> None:
    sqlite_scene.database.as_of = instant("2026-10-24T22:00Z")
    sqlite_scene.create("3h")
    env = {"WAITCTL_AS_OF": "2026-10-24T22:00:00Z", "WAITCTL_TIMEZONE": "Europe/Berlin"}
    lines = Waitctl(tmp_path, sqlite_scene.url)("upcoming", "--until", "5h", env=env).ok().lines
    assert [" ".join(line.split()[2:5]) for line in lines[2:-1]] == [
        "00:00 +02:00 0",
        "01:00 +02:00 0",
        "02:00 +02:00 0",
        "02:00 +01:00 1",
        "03:00 +01:00 0",
    ]


@pytest.mark.parametrize(("env", "bar"), [({}, "██████▎"), ({"PYTHONIOENCODING": "ascii"}, "######")])
def test_bars_fit_the_terminal(sqlite_scene: Scene, tmp_path: Path, env: dict[str, str], bar: str) -> None:
    sqlite_scene.create("30m", "one")
    for number in range(4):
        sqlite_scene.create("90m", f"timed-{number}")
    ours, theirs = os.openpty()
    env = NOW | {"TERM": "xterm-256color", "COLUMNS": "80", "NO_COLOR": "1"} | env
    process = Waitctl(tmp_path, sqlite_scene.url).start("upcoming", "--until", "2h", env=env, stdout=theirs)
    os.close(theirs)
    seen = bytearray()
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:  # how Linux says that the other side hung up
        pass
    os.close(ours)
    assert process.wait() == 0
    assert process.stderr is not None
    process.stderr.close()
    lines = seen.decode().splitlines()
    assert lines[2].split()[-1] == bar
    assert len(lines[3]) == 80
    assert "\x1b[34m" not in seen.decode()


@pytest.mark.parametrize(
    ("code", "message", "arguments"),
    [
        ("invalid_wait_date", "past", ["--until", "2020-01-01T00:00:00Z"]),
        ("invalid_wait_date", "past", ["--until", "2026-03-01T12:00:00Z"]),
        ("invalid_wait_date", "'soon'", ["--until", "soon"]),
        ("invalid_wait_date", "more than zero", ["--until", "0s"]),
        ("invalid_wait_date", "--until", ["--until", "-2d"]),
        ("invalid_wait_date", "business", ["--until", "3bd"]),
        ("invalid_wait_date", "2026-03-02", ["--until", "2026-03-02"]),
        ("invalid_wait_date", "2026-02-30", ["--until", "2026-02-30T00:00:00Z"]),
        ("invalid_wait_date", "2,000 hours", ["--until", "84d"]),
        ("invalid_timezone", "GMT+2", ["--tz", "GMT+2"]),
        ("invalid_wait_configuration", "workflow", ["-w", ""]),
        ("usage", "--by", ["--by", "week"]),
    ],
)
def test_bad_input(run: Waitctl, code: str, message: str, arguments: list[str]) -> None:
    error = run("upcoming", "-o", "json", *arguments, env=NOW).json_error(2)
    assert error["code"] == code
    assert message in error["message"]


def test_there_is_no_id(run: Waitctl) -> None:
    assert "no id" in run("upcoming", "-o", "id").error(2)


@pytest.fixture
def run(sqlite_scene: Scene, tmp_path: Path) -> Waitctl:
    """`waitctl` on an empty database."""
    with sqlite_scene.on_the_real_clock().database as database:
        database.upgrade()
    return Waitctl(tmp_path, sqlite_scene.url)
