"""What an operator sees: what is open, how late it is, who listens, what is before each handler, what ran."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from tests.scene import MINUTE, NOON, Scene
from waitctl import WaitFilter
from waitctl.application.operations.runs import list_runs
from waitctl.application.waits.upcoming import list_soon
from waitctl.domain.counts import CAP
from waitctl.domain.filters import parse_wait_type
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.store import ticks


def test_ages_of_what_is_overdue(scene: Scene) -> None:
    for minute in range(1, 101):
        scene.create(f"{minute}m", f"e{minute}")
    summary = scene.at(100).waits.list_pending_waits().to_json()
    assert summary["overdue"] == 100
    assert summary["overdue_age"] == {"p50": 49 * 60, "p95": 94 * 60, "max": 99 * 60}
    only = WaitFilter(execution_id="e60")
    assert scene.waits.list_pending_waits(only).to_json()["overdue_age"] == {"p50": 2400, "p95": 2400, "max": 2400}
    assert scene.at(0).waits.list_pending_waits(only).to_json()["next_due_at"] == "2026-03-01T13:00:00Z"


def test_what_listens_to_several_types_is_overdue_once(scene: Scene) -> None:
    """Among waits for a time, and in the order of the instants however they came."""
    for minute in (40, 10, 30, 20):
        scene.listen("email_open", "email_click", "sms_reply", execution=f"e{minute}", timeout=f"{minute}m")
        scene.create(f"{minute + 5}m", f"t{minute}")
    scene.listen("email_open", "email_click", execution="later", timeout="2h")
    summary = scene.at(60).waits.list_pending_waits().to_json()
    assert summary["overdue"] == 8
    assert summary["overdue_age"] == {"p50": 30 * 60, "p95": 50 * 60, "max": 50 * 60}
    assert scene.waits.list_pending_waits(WaitFilter(step_id="wait")).to_json()["overdue_age"] == summary["overdue_age"]


def test_listeners_that_expire_soon_and_those_that_have(scene: Scene) -> None:
    scene.listen(execution="soon", timeout="30m")
    scene.listen(execution="later", timeout="3h")
    scene.listen(execution="never", timeout=None)
    listeners = scene.at(10).waits.list_pending_waits().to_json()["listeners"]
    assert listeners == {"active": 3, "expiring_1h": 1, "expired_unswept": 0, "orphans": 0}
    listeners = scene.at(31).waits.list_pending_waits().to_json()["listeners"]
    assert listeners == {"active": 3, "expiring_1h": 0, "expired_unswept": 1, "orphans": 0}
    scene.tick()
    assert scene.waits.list_pending_waits().to_json()["listeners"]["expired_unswept"] == 0


def test_listeners_whose_wait_has_ended(scene: Scene) -> None:
    scene.listen(execution="lost", timeout="30m")
    scene.listen(execution="fine")
    scene.sql(
        "UPDATE workflow_wait_executions SET status = 'cancelled', resolution = 'cancelled',"
        " resolved_at = created_at WHERE workflow_execution_id = 'lost'"
    )
    assert scene.waits.list_pending_waits().to_json()["listeners"]["orphans"] == 1


def numbers_and_ids(scene: Scene) -> tuple[str, str]:
    """``:count`` rows of numbers, and an id of each."""
    if scene.database.is_sqlite:
        numbers = "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < :count) SELECT n FROM c)"
        return numbers, "printf('01a00000-0000-7000-8000-%012d', n)"
    return "generate_series(1, :count) AS numbers(n)", "CAST(lpad(CAST(n AS text), 32, '0') AS uuid)"


def copies(scene: Scene, count: int) -> None:
    """Many waits like the first one, and a delivery of each."""
    numbers, identifier = numbers_and_ids(scene)
    scene.sql(
        "INSERT INTO workflow_wait_executions (id, workflow_execution_id, step_id, wait_type, status, scheduled_at,"
        " timezone, wait_config, created_at, updated_at)"
        f" SELECT {identifier}, 'copy-' || n, step_id, wait_type, status, scheduled_at, timezone, wait_config,"
        f" created_at, updated_at FROM workflow_wait_executions, {numbers}",
        count=count,
    )
    scene.sql(
        "INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt, next_attempt_at,"
        " created_at) SELECT id, id, CASE WHEN workflow_execution_id < 'copy-2' THEN 'one' ELSE 'other' END, 'due',"
        " 'pending', 0, scheduled_at, created_at FROM workflow_wait_executions",
    )


def test_counts_stop_at_the_cap(scene: Scene) -> None:
    scene.create("1h", "first")
    copies(scene, CAP)
    summary = scene.at(61).waits.list_pending_waits(handlers=["one"])
    document = summary.to_json()
    assert (document["open"], document["overdue"], document["by_status"]["scheduled"]) == (CAP, CAP, CAP)
    assert document["deliveries"]["pending"] == CAP
    assert document["deliveries"]["held"] < CAP
    types = ["by_type.fixed_time", "by_type.until_date", "by_type.until_time", "by_type.for_event"]
    assert document["capped"] == ["open", *types, "by_status.scheduled", "overdue", "deliveries.pending"]
    assert document["overdue_age"] == {"p50": 60, "p95": 60, "max": 60}
    counted = scene.waits.list_pending_waits(WaitFilter(wait_types=(parse_wait_type("fixed-time"),))).to_json()
    statuses = ["by_status.waiting", "by_status.scheduled"]
    assert counted["capped"] == ["open", *types, *statuses, "overdue", "deliveries.pending", "deliveries.held"]
    backlogs = scene.deliveries.list_backlogs()
    assert [(each.handler, each.pending == each.due) for each in backlogs] == [("one", True), ("other", True)]
    assert sum(each.pending for each in backlogs) == CAP + 1


def more_listeners(scene: Scene, count: int, execution: str, *, apart: bool = False) -> None:
    """So many listeners for another type of event each, before all others; or ``apart``, one a second after them."""
    numbers, identifier = numbers_and_ids(scene)
    expires_at = "l.expires_at"
    if apart:
        identifier = identifier.replace("n)", "n + 100000)").replace("CAST(n AS", "CAST(n + 100000 AS")
        seconds = "strftime('%Y-%m-%d %H:%M:%f000', l.expires_at, n || ' seconds')"
        expires_at = seconds if scene.database.is_sqlite else "l.expires_at + n * interval '1 second'"
    scene.sql(
        "INSERT INTO workflow_event_listeners (id, wait_id, event_type, contact_id, exclusive, status, since_at,"
        f" timeout_at, expires_at) SELECT {identifier}, wait_id, 'type-' || n, l.contact_id, exclusive, l.status,"
        f" since_at, {expires_at}, {expires_at} FROM workflow_event_listeners l JOIN workflow_wait_executions w"
        f" ON w.id = wait_id AND workflow_execution_id = :execution, {numbers}",
        count=count,
        execution=execution,
    )


@pytest.mark.parametrize(("listeners", "known"), [(CAP - 2, True), (CAP + 5, True), (2 * CAP + 5, False)])
def test_a_wait_that_listens_for_much_counts_once(scene: Scene, listeners: int, known: bool) -> None:
    """Also where all of the listeners that are looked at first are of one wait, and as far as there is a look."""
    scene.listen(execution="one", timeout="1h")
    scene.listen(execution="other", timeout="2h")
    more_listeners(scene, listeners, "one")
    counted = scene.waits.list_pending_waits().to_json()
    assert counted["by_type"]["for_event"] == (2 if known else CAP)
    assert ("by_type.for_event" in counted["capped"]) is not known


def test_a_wait_that_listens_for_much_counts_once_beside_many_that_do_not(scene: Scene) -> None:
    """Where most listeners have an end to themselves: of more than are looked at first."""
    scene.listen(execution="one", timeout="1h")
    scene.listen(execution="other", timeout="2h")
    more_listeners(scene, CAP * 2 // 5, "one")
    more_listeners(scene, CAP * 3 // 5, "other", apart=True)
    counted = scene.waits.list_pending_waits().to_json()
    assert counted["by_type"]["for_event"] == 2 + CAP * 3 // 5


@pytest.mark.parametrize("seed", range(6))
def test_waits_that_listen_are_counted_one_by_one(scene: Scene, seed: int) -> None:
    """Whether they expire together or apart, listen to one type or to several, or never expire."""
    chosen = random.Random(seed)
    ends: list[int | None] = []
    for number in range(chosen.randint(1, 30)):
        types = chosen.sample(["email_open", "email_click", "sms_reply"], chosen.randint(1, 3))
        minutes = chosen.choice([None, 20, 20, chosen.randint(15, 75)])
        scene.listen(*types, execution=f"e{number}", timeout=None if minutes is None else f"{minutes}m")
        if chosen.random() < 0.3:
            scene.waits.cancel_execution(f"e{number}")
        else:
            ends.append(minutes)
    minute = chosen.choice([0, 14, 20, 45])
    assert scene.at(minute).waits.list_pending_waits().to_json()["by_type"]["for_event"] == len(ends)
    coming = [each for each in ends if each is not None and each > minute]
    assert sum(bucket.timeouts for bucket in list_soon(scene.database).buckets) == len(coming)


def test_of_more_ends_than_are_looked_at_the_histogram_says_so(scene: Scene) -> None:
    scene.listen(execution="one", timeout="1h")
    assert not list_soon(scene.database).is_capped
    more_listeners(scene, CAP, "one")
    assert list_soon(scene.database).is_capped


def note(scene: Scene, minute: float, *, finished: bool = True) -> None:
    def work(connection: Connection) -> None:
        at = NOON + minute * MINUTE
        tick_id = ticks.insert_tick(connection, host="web-1", pid=7, started_at=at, as_of=None, handlers=())
        if finished:
            report = {"resumed": 3, "remaining_due": 0, "stopped": "idle", "as_of": None}
            ticks.finish_tick(connection, tick_id, finished_at=at + timedelta(seconds=2), report=report)

    scene.database.write(work)


def test_runs_newest_first_with_their_gaps(scene: Scene) -> None:
    for minute in (0, 1, 2, 12, 13):
        note(scene, minute)
    note(scene, 14, finished=False)
    found = list_runs(scene.database, since=NOON)
    documents = [run.to_json() for run in found.runs]
    assert [document["started_at"][11:16] for document in documents] == [
        *("12:14", "12:13", "12:12", "12:02", "12:01", "12:00")
    ]
    assert [document["gap_seconds"] for document in documents] == [None, None, 598, None, None, None]
    assert documents[0] | {"started_at": None} == dict.fromkeys(documents[0]) | {"host": "web-1", "pid": 7}
    assert (documents[1]["resumed"], documents[1]["stopped"], documents[1]["dead"]) == (3, "idle", None)
    assert [run.gap is None for run in list_runs(scene.database, since=NOON, limit=3).runs] == [True, True, False]
    assert list_runs(scene.database, since=NOON, limit=3).more
    assert list_runs(scene.database, since=NOON + timedelta(days=1)).runs == []


def test_a_real_tick_is_a_run(scene: Scene) -> None:
    scene.create("1m")
    scene.at(2).tick()
    (run,) = list_runs(scene.on_the_real_clock().database, since=timedelta(minutes=-5)).runs
    assert run.to_json()["resumed"] == 1
    assert run.to_json()["as_of"] == "2026-03-01T12:02:00Z"
