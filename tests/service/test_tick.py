"""The processor: phases, batches, limits, dry runs, time travel, clocks."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.scene import MINUTE, NOON, Scene
from waitctl import Settings, Tick, TickOptions
from waitctl.application.processor.run import Phase, Stopped
from waitctl.domain.errors import ClockSkewError, InvalidSettingError
from waitctl.domain.events import topic_bucket
from waitctl.infrastructure.database import TOPIC_LOCK_SPACE


def test_due_waits_resume_never_early(scene: Scene) -> None:
    wait = scene.create("1h", handler="nudge").wait
    scene.database.as_of = NOON + 60 * MINUTE - timedelta(microseconds=1)
    assert scene.tick().resumed == 0
    report = scene.at(60).tick()
    assert (report.resumed, report.remaining_due, report.stopped, report.held) == (1, 0, "idle", 1)
    ended = scene.get(wait)
    assert (ended.status, ended.resolution, ended.late_seconds) == ("resumed", "due", 0)
    assert (ended.resolved_at, ended.updated_at) == (NOON + 60 * MINUTE, NOON + 60 * MINUTE)
    (delivery,) = ended.deliveries
    assert (delivery.outcome, delivery.status, delivery.attempt) == ("due", "pending", 0)
    assert scene.waits.get_history(wait.id)[-1].reason == "as of 2026-03-01T13:00:00Z: due"
    assert scene.tick().resumed == 0


@pytest.mark.parametrize("late", [0.4, 1, 59.9, 3600, 86400 * 400 + 0.5])
def test_late_seconds_are_whole(scene: Scene, late: float) -> None:
    wait = scene.create("1h").wait
    scene.at(60 + late / 60).tick()
    assert scene.get(wait).late_seconds == int(late)


def test_report_and_its_document(scene: Scene) -> None:
    scene.create("1h", "a")
    scene.listen(execution="b", timeout="1h")
    report = scene.at(60).tick()
    assert (report.resumed, report.timed_out, report.did_nothing) == (1, 1, False)
    document = report.to_json()
    assert list(document) == [
        "started_at",
        "finished_at",
        "as_of",
        "correlated",
        "resumed",
        "timed_out",
        "moved",
        "delivered",
        "retried",
        "dead",
        "stale",
        "held",
        "remaining_due",
        "quarantined",
        "pruned",
        "stopped",
    ]
    assert document["as_of"] == "2026-03-01T13:00:00Z"
    assert scene.tick().did_nothing
    assert scene.on_the_real_clock().tick().to_json()["as_of"] is None


def test_oldest_due_first_in_batches(scene: Scene) -> None:
    waits = [scene.create(f"{5 - number}h", f"e{number}").wait for number in range(5)]
    report = scene.at(600).tick(batch_size=2, max_batches=1)
    assert (report.resumed, report.remaining_due, report.stopped) == (2, 3, "max_batches")
    assert scene.statuses(*waits) == "scheduled scheduled scheduled resumed resumed"
    report = scene.tick(batch_size=2)
    assert (report.resumed, report.remaining_due, report.stopped) == (3, 0, "idle")


def test_expired_waits_in_batches(scene: Scene) -> None:
    waits = [scene.listen("email_open", "sms_reply", execution=f"e{number}") for number in range(3)]
    assert scene.at(60).tick(batch_size=1).timed_out == 3
    assert scene.statuses(*waits) == "timeout timeout timeout"
    assert all(len(scene.waits.get_history(wait.id)) == 2 for wait in waits)


@pytest.mark.parametrize(
    ("only", "statuses"),
    [
        ({Phase.DUE}, "resumed waiting"),
        ({Phase.EXPIRED}, "scheduled timeout"),
        ({Phase.EVENTS, Phase.DELIVER}, "scheduled waiting"),
        (set(Phase), "resumed timeout"),
    ],
)
def test_only_some_phases(scene: Scene, only: set[Phase], statuses: str) -> None:
    waits = scene.create("1h", "a").wait, scene.listen(execution="b", timeout="1h")
    scene.at(60).tick(only=frozenset(only))
    assert scene.statuses(*waits) == statuses


def test_dry_run_tells_and_changes_nothing(scene: Scene, tmp_path: Path) -> None:
    out = scene.handle(tmp_path, "touch $OUT")
    scene.on_the_real_clock()
    due = scene.create("1h", "due", base=NOON, handler="nudge").wait
    late = scene.listen(execution="late", base=NOON)
    heard = scene.listen(execution="heard", contact="eve")
    scene.insert_event(contact_id="eve")
    sent = scene.create(execution="sent", handler="nudge").wait
    (delivery,) = scene.waits.resume_wait(sent.id).wait.deliveries
    before = [scene.get(wait) for wait in (due, late, heard, sent)]
    report = scene.tick(dry_run=True)
    assert report.ids is not None
    assert (report.correlated, report.resumed, report.timed_out) == (1, 2, 1)
    assert set(report.ids["resumed"]) == {due.id, heard.id}
    assert report.ids["timed_out"] == [late.id]
    assert delivery.id in report.ids["delivered"]
    assert [scene.get(wait) for wait in (due, late, heard, sent)] == before
    assert not out.exists()
    assert scene.sql("SELECT count(*) FROM waitctl_ticks")[0][0] == 0
    assert (real := scene.tick()).resumed == 2 and real.ids is None


def test_no_writer_waits_for_a_dry_run(sqlite_scene: Scene) -> None:
    """Between its batches, at each of which an own writer finds the file free; what that one writes changes nothing."""
    scene = sqlite_scene
    for number in range(5):
        scene.create("1h", f"due-{number}", base=NOON)
    scene.on_the_real_clock()
    written = 0

    def write_meanwhile() -> bool:
        nonlocal written
        with closing(sqlite3.connect(str(scene.database.path), timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("DELETE FROM workflow_wait_executions")
            other.execute("COMMIT")
        written += 1
        return False

    options = TickOptions(batch_size=2, dry_run=True)
    report = Tick(scene.database, Settings(scene.url), options, interrupted=write_meanwhile).run()
    assert (report.resumed, report.stopped) == (5, Stopped.IDLE)
    assert written > 3, "between two batches"


def test_no_topic_is_locked_by_a_dry_run(postgres_url: str) -> None:
    """Between its batches an event of a topic that it has timed out waits of is recorded, and ends a wait."""
    scene = Scene(postgres_url)
    for number in range(5):
        scene.listen(execution=f"expired-{number}", contact="bob", timeout="1h")
    same = next(f"c{n}" for n in count() if topic_bucket("email_open", f"c{n}") == topic_bucket("email_open", "bob"))
    scene.at(90)
    open_ = scene.listen(execution="open", contact=same)
    other, locks, ended = Scene(postgres_url).at(91), list[object](), list[str]()
    wanted = (
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        f" WHERE datname = current_database() AND locktype = 'advisory' AND classid = {TOPIC_LOCK_SPACE}"
    )

    def record_meanwhile() -> bool:
        locks.append(other.sql(wanted)[0][0])
        if not any(locks):
            ended.extend(other.record(contact=same).matched)
        return False

    report = Tick(
        scene.database, Settings(scene.url), TickOptions(batch_size=2, dry_run=True), interrupted=record_meanwhile
    ).run()
    assert (report.timed_out, set(locks), ended) == (5, {0}, [open_.id])
    assert len(locks) > 3, "between two batches"
    with scene.database._open().begin(write=True) as connection:
        scene.database.lock_topics(connection, [1], exclusive=True)
        assert other.sql(wanted)[0][0] == 1, "what is not tried is locked as ever"
    other.database.close()
    scene.database.close()


def test_a_tick_with_nothing_to_do_writes_its_heartbeat_alone(scene: Scene) -> None:
    marks = "SELECT name, until_at FROM waitctl_upkeep ORDER BY name"
    before = scene.sql(marks)
    assert scene.tick().did_nothing
    assert (scene.sql(marks), scene.sql("SELECT count(*) FROM waitctl_ticks")) == (before, [(1,)])
    scene.database.as_of = datetime(2020, 1, 1, tzinfo=UTC)
    scene.create("1h")
    scene.database.as_of = datetime(2020, 1, 2, tzinfo=UTC)
    assert scene.tick().resumed == 1
    assert scene.sql(marks) != before, "what ended is counted"


def test_time_travel_is_not_the_heartbeat(scene: Scene) -> None:
    scene.at(60 * 24 * 365 * 50).tick()
    ((started, finished, as_of),) = scene.sql("SELECT started_at, finished_at, as_of FROM waitctl_ticks")
    assert str(started)[:2] == str(finished)[:2] == "20" and str(started) < "2060"
    assert str(as_of) > "2070"
    scene.on_the_real_clock().tick()


def test_interrupted_before_its_first_batch(scene: Scene) -> None:
    wait = scene.create().wait
    report = Tick(scene.at(60).database, Settings(scene.url), interrupted=lambda: True).run()
    assert (report.stopped, report.resumed, report.remaining_due) == ("interrupted", 0, 1)
    assert scene.statuses(wait) == "scheduled"


def test_interrupted_between_batches_finishes_the_one_in_hand(scene: Scene) -> None:
    for number in range(4):
        scene.create(execution=f"e{number}")
    asked = iter([False, False, False, True, True, True, True, True])
    report = Tick(
        scene.at(60).database,
        Settings(scene.url),
        TickOptions(batch_size=1, only=frozenset({Phase.DUE})),
        interrupted=lambda: next(asked),
    ).run()
    assert (report.stopped, report.resumed, report.remaining_due) == ("interrupted", 2, 2)


def test_no_time_is_time_budget(scene: Scene) -> None:
    scene.create()
    report = scene.at(60).tick(time_budget=timedelta(0))
    assert (report.stopped, report.resumed, report.remaining_due) == ("time_budget", 0, 1)


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"batch_size": 100_001}, {"max_batches": 0}, {"only": frozenset()}]
)
def test_options_that_make_no_sense(options: dict[str, Any], sqlite_scene: Scene) -> None:
    with pytest.raises(InvalidSettingError):
        sqlite_scene.tick(**options)


def test_clock_that_was_set_back(sqlite_scene: Scene) -> None:
    scene = sqlite_scene.on_the_real_clock()
    scene.create("1h", base=NOON)

    def last_tick_was_in(seconds: int) -> None:
        at = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S.%f")  # noqa: TID251
        scene.sql("DELETE FROM waitctl_ticks")
        scene.sql("INSERT INTO waitctl_ticks (host, pid, started_at) VALUES ('other', 1, :at)", at=at)

    last_tick_was_in(3600)
    with pytest.raises(ClockSkewError, match="behind") as caught:
        scene.tick()
    assert "--ignore-clock" in (caught.value.hint or "")
    assert scene.tick(ignore_clock=True).resumed == 1
    last_tick_was_in(30)
    scene.tick()


def test_postgresql_has_its_own_clock(postgres_scene: Scene) -> None:
    postgres_scene.sql("INSERT INTO waitctl_ticks (host, pid, started_at) VALUES ('x', 1, now() + interval '1 hour')")
    assert postgres_scene.on_the_real_clock().tick().stopped == "idle"
