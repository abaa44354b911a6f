"""Processes killed with SIGKILL at every commit, before it and after it: run again, nothing is lost and nothing twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.interleaving import until
from tests.invariants import invariants
from tests.receiver import Receiver
from waitctl import (
    Database,
    EventQuery,
    EventService,
    Late,
    Rules,
    WaitFilter,
    WaitSchedulingService,
    WaitSpec,
    make_event,
)
from waitctl.application.operations.analytics import analyse
from waitctl.application.operations.bulk import BulkService
from waitctl.application.waits.recurring import RecurrenceService
from waitctl.domain.analytics import Dimension
from waitctl.domain.durations import parse_duration
from waitctl.domain.plans import PlanKind
from waitctl.domain.recurrence import RecurrenceRule
from waitctl.domain.statuses import DeliveryStatus, Resolution
from waitctl.infrastructure.schema import deliveries, events, recurrences, waits

DRIVER = Path(__file__).with_name("crash_driver.py")
START = datetime(2026, 6, 1, tzinfo=UTC)
TICK = START + timedelta(hours=1)
LEASE_IS_OVER = TICK + timedelta(days=1)
MOST_COMMITS = 100


def start_driver(*arguments: str) -> subprocess.Popen[str]:
    """A process that sees the same modules as this one."""
    return subprocess.Popen(
        [sys.executable, str(DRIVER), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


class Driver:
    """A process whose forks run waitctl and kill themselves."""

    def __init__(self) -> None:
        self._process = start_driver()

    def run(self, task: str, url: str, as_of: datetime, kill: tuple[int, str] | None = None, **asked: Any) -> int:
        """Run a task, killed at a commit; return its exit status."""
        assert self._process.stdin is not None and self._process.stdout is not None
        line = {"task": task, "url": url, "as_of": as_of.isoformat(), "kill": kill, **asked}
        print(json.dumps(line), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.close()


@pytest.fixture
def copies(url: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes copies of the database at ``url``, which nobody uses any more, for a crash each."""
    made: list[str] = []
    name = sa.make_url(url).database or ""

    def copy() -> str:
        copy = f"waitctl_{uuid.uuid4().hex}"
        if url.startswith("sqlite"):
            shutil.copy(name, tmp_path / copy)
            return f"sqlite:///{tmp_path / copy}"
        made.append(copy)
        return str(request.getfixturevalue("cluster").create(copy, name))

    yield copy
    for copy_ in made:
        request.getfixturevalue("cluster").drop(copy_)


def at_every_commit(
    driver: Driver, copies: Callable[[], str], task: str, when: str, *, as_of: datetime = TICK, **asked: Any
) -> Iterator[tuple[int, str]]:
    """Kill the task at its first commit, its second, …, until it comes through. Yields what each kill left behind."""
    for number in range(1, MOST_COMMITS):
        url = copies()
        status = driver.run(task, url, as_of, (number, when), **asked)
        if status == 0:
            assert number > 3, "it hardly commits"
            return
        assert status == -signal.SIGKILL
        yield number, url
    raise AssertionError("it never comes through")


def check(url: str) -> None:
    with Database(url) as database, database.read() as connection:
        invariants(connection)


def rows(url: str, *columns: Any) -> list[Any]:
    with Database(url) as database, database.read() as connection:
        return sorted(map(tuple, connection.execute(sa.select(*columns))), key=repr)


# -- upkeep ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_upkeep_killed_at_any_commit_counts_each_wait_once(
    driver: Driver, url: str, copies: Callable[[], str], when: str
) -> None:
    with Database(url, as_of=START) as database:
        service = WaitSchedulingService(database)
        for number in range(5):
            service.resume_wait(
                service.create_fixed_time_wait("1h", WaitSpec(f"e-{number}", f"s-{number % 2}")).wait.id
            )
    expected = analysed(url)
    assert sum(row["waits"] for row in expected) == 5
    for _, copy in at_every_commit(driver, copies, "upkeep", when, as_of=START + timedelta(days=9)):
        assert analysed(copy) == expected
        assert driver.run("upkeep", copy, START + timedelta(days=9)) == 0
        assert analysed(copy) == expected
        assert rows(copy, waits.c.id) == []


def analysed(url: str) -> list[Any]:
    with Database(url) as database:
        groups: list[Any] = analyse(database, WaitFilter(), by=Dimension.STEP).to_json()["groups"]
    return groups


# -- tick --------------------------------------------------------------------------------------------------------------


def set_up_waits(url: str) -> None:
    """Due waits, an expired one, one that an event of the inbox table wakes, and one whose turn has not come."""
    with Database(url, as_of=START) as database:
        service = WaitSchedulingService(database)
        for number in range(2):
            service.create_fixed_time_wait("10m", WaitSpec(f"due-{number}", handler="nudge"))
        service.create_fixed_time_wait("10m", WaitSpec("due-silent"))
        service.create_fixed_time_wait("9d", WaitSpec("later", handler="nudge"))
        for contact in ("expired", "heard"):
            asked = WaitSpec(contact, contact_id=contact, handler="nudge")
            timeout = parse_duration("20m")
            service.create_event_wait(EventQuery(("email_open", "page_visit"), timeout=timeout), asked)
        row = sa.insert(events).values(
            event_type="page_visit", contact_id=" heard", received_at=START + timedelta(minutes=1)
        )
        database.write(lambda connection: connection.execute(row))


ENDED = [
    ("due-0", Resolution.DUE),
    ("due-1", Resolution.DUE),
    ("due-silent", Resolution.DUE),
    ("expired", Resolution.TIMEOUT),
    ("heard", Resolution.EVENT),
    ("later", None),
]


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_tick_killed_at_any_commit_loses_nothing(
    driver: Driver, url: str, copies: Callable[[], str], tmp_path: Path, when: str
) -> None:
    set_up_waits(url)
    log = tmp_path / "log"
    command = ["/bin/sh", "-c", f'echo "$WAITCTL_DELIVERY_ID $WAITCTL_ATTEMPT" >> {log}']
    in_flight = 0
    for _, copy in at_every_commit(driver, copies, "tick", when, exec=command):
        check(copy)
        left = rows(copy, deliveries.c.id, deliveries.c.status, deliveries.c.attempt)
        leased = {each: attempt for each, status, attempt in left if status is DeliveryStatus.RUNNING}
        in_flight += bool(leased)

        assert driver.run("tick", copy, TICK, exec=command) == 0
        check(copy)
        assert rows(copy, waits.c.workflow_execution_id, waits.c.resolution) == ENDED
        now = dict(rows(copy, deliveries.c.id, deliveries.c.status))
        assert {each for each, status in now.items() if status is not DeliveryStatus.DELIVERED} == set(leased)
        assert {each for each, *_ in left} <= set(now), "the ids stay"

        if leased:
            assert driver.run("tick", copy, LEASE_IS_OVER, exec=command) == 0
            check(copy)
        done = rows(copy, deliveries.c.id, deliveries.c.attempt, deliveries.c.status)
        begun_before = {each: leased.get(each, 0) for each in now}
        assert done == sorted((each, 1 + begun_before[each], DeliveryStatus.DELIVERED) for each in now)
        lines = [line.split() for line in log.read_text().splitlines()]
        handed_out = [line for line in lines if line[0] in now]
        assert all([each, str(attempt)] in handed_out for each, attempt, _ in done)
        assert len({tuple(line) for line in handed_out}) == len(handed_out), "no attempt is handed out twice"
    assert in_flight, "no kill hit a lease"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["command", "batch", "webhook", "function", "function of the tick's"])
def test_what_has_few_attempts_dies_only_if_its_handler_has_heard_of_it(
    driver: Driver, url: str, copies: Callable[[], str], tmp_path: Path, kind: str
) -> None:
    """Killed right after any commit, that which counts attempts or that before what begins."""
    max_attempts = {"once": 1, "twice": 2}
    with Database(url, as_of=START) as database:
        for number, handler in enumerate(["once", "twice", "twice"]):
            WaitSchedulingService(database).create_fixed_time_wait("10m", WaitSpec(str(number), handler=handler))
    log = tmp_path / "log"
    log.touch()
    with Receiver() as receiver:
        asked: dict[str, Any] = {"max_attempts": max_attempts}
        match kind:
            case "command":
                asked["exec"] = ["/bin/sh", "-c", f"echo $WAITCTL_DELIVERY_ID >> {log}"]
            case "batch":
                asked |= {"batch": True, "exec": ["/bin/sh", "-c", f"cat >> {log}"]}
            case "function":
                asked |= {"python": "tests.heard:note_late", "own_process": True, "heard": str(log)}
            case "function of the tick's":
                asked |= {"python": "tests.heard:note", "own_process": False, "heard": str(log)}
            case _:
                asked["webhook"] = receiver.url

        def heard() -> str:
            return log.read_text() + " ".join(each.headers["webhook-id"] for each in receiver.requests)

        def was_heard(found: Collection[str]) -> bool:
            said = heard()
            return all(each in said for each in found)

        for _, copy in at_every_commit(driver, copies, "tick", "after", **asked):
            found = ticked_until_over(driver, copy, **asked)
            assert len(found) == 3
            until(partial(was_heard, found), "what was begun before the kill")
            check(copy)


def ticked_until_over(driver: Driver, url: str, **asked: Any) -> Collection[str]:
    """The deliveries, once ticks that come when every lease is over have delivered each, or given it up."""
    for days in range(4):
        assert driver.run("tick", url, LEASE_IS_OVER + timedelta(days=days), **asked) == 0
        found = dict(rows(url, deliveries.c.id, deliveries.c.status))
        if {DeliveryStatus.DELIVERED, DeliveryStatus.DEAD}.issuperset(found.values()):
            return found
    raise AssertionError("still open after four days")


@pytest.mark.parametrize("kind", ["command", "function of the tick's"])
def test_what_kills_its_tick_before_it_is_counted_is_dead_in_the_end(
    driver: Driver, url: str, tmp_path: Path, kind: str
) -> None:
    """It costs no more ticks than one with the default attempts, and nobody else anything."""
    with Database(url, as_of=START) as database:
        for number in range(20):
            spec = WaitSpec("poison" if number == 3 else str(number), handler="nudge")
            WaitSchedulingService(database).create_fixed_time_wait("10m", spec)
    asked: dict[str, Any] = {"exec": ["/bin/sh", "-c", "case $WAITCTL_EXECUTION_ID in poison) kill -9 $PPID;; esac"]}
    if kind != "command":
        (heard := tmp_path / "heard").touch()
        asked = {"python": "tests.heard:note_or_end", "own_process": False, "heard": str(heard)}
    at, crashes = TICK, 0
    while driver.run("tick", url, at, concurrency=1, batch_size=100, max_attempts={"nudge": 1}, **asked):
        crashes += 1
        at += timedelta(days=1)
    assert 1 <= crashes <= 8
    found = rows(url, deliveries.c.status)
    assert found.count((DeliveryStatus.DEAD,)) == 1
    assert found.count((DeliveryStatus.DELIVERED,)) == 19
    check(url)


def test_a_delivery_that_kills_its_tick_every_time_is_dead_in_the_end(driver: Driver, url: str) -> None:
    with Database(url, as_of=START) as database:
        WaitSchedulingService(database).create_fixed_time_wait("10m", WaitSpec("poison", handler="nudge"))
    at, command = TICK, ["/bin/sh", "-c", "kill -9 $PPID"]
    for attempt in range(1, 9):
        assert driver.run("tick", url, at, exec=command) == -signal.SIGKILL
        assert rows(url, deliveries.c.status, deliveries.c.attempt) == [(DeliveryStatus.RUNNING, attempt)]
        at += timedelta(days=1)
    assert driver.run("tick", url, at, exec=command) == 0
    assert rows(url, deliveries.c.status, deliveries.c.attempt) == [(DeliveryStatus.DEAD, 8)]
    check(url)


def test_what_a_killed_tick_had_leased_and_not_begun_keeps_its_attempt(url: str, tmp_path: Path) -> None:
    count, concurrency = 40, 3
    with Database(url, as_of=START) as database:
        for number in range(count):
            WaitSchedulingService(database).create_fixed_time_wait("10m", WaitSpec(str(number), handler="nudge"))
    (noted := tmp_path / "noted").mkdir()
    command = ["/bin/sh", "-c", f": > {noted}/$WAITCTL_DELIVERY_ID; exec sleep 60"]
    process = start_driver("--until-told")
    asked = {"url": url, "as_of": TICK.isoformat(), "exec": command, "told": str(tmp_path / "told")}
    assert process.stdin is not None
    print(json.dumps(asked | {"batch_size": 100, "concurrency": concurrency}), file=process.stdin, flush=True)

    def begun() -> set[str]:
        return {path.name for path in noted.iterdir()}

    until(lambda: len(begun()) == concurrency or process.poll() is not None, "a command for every worker")
    process.kill()
    process.communicate()
    found = rows(url, deliveries.c.id, deliveries.c.status, deliveries.c.attempt)
    assert sum(status is DeliveryStatus.RUNNING for _, status, _ in found) > concurrency, "some are leased ahead"
    assert {each: attempt for each, _, attempt in found} == {each: int(each in begun()) for each, *_ in found}
    check(url)


def test_a_command_that_kills_its_tick_takes_no_other_with_it(driver: Driver, url: str) -> None:
    """Those that had begun beside it lose an attempt, and are then tried one at a time."""
    with Database(url, as_of=START) as database:
        for number in range(30):
            asked = WaitSpec("poison" if number == 3 else str(number), handler="nudge")
            WaitSchedulingService(database).create_fixed_time_wait("10m", asked)
    at, crashes = TICK, 0
    command = ["/bin/sh", "-c", "case $WAITCTL_EXECUTION_ID in poison) kill -9 $PPID;; *) sleep 0.1;; esac"]
    while driver.run("tick", url, at, exec=command, concurrency=8, batch_size=100):
        crashes += 1
        at += timedelta(days=1)
    assert crashes == 8
    found = rows(url, deliveries.c.status, deliveries.c.attempt)
    assert found.count((DeliveryStatus.DEAD, 8)) == 1
    assert sum(status is DeliveryStatus.DELIVERED and attempt <= 3 for status, attempt in found) == 29
    check(url)


def test_sigterm_lets_a_tick_finish_what_runs_and_give_back_the_rest(url: str, tmp_path: Path) -> None:
    with Database(url, as_of=START) as database:
        for number in range(4):
            WaitSchedulingService(database).create_fixed_time_wait("10m", WaitSpec(str(number), handler="nudge"))
    told = tmp_path / "told"
    hang = (
        f"cd {tmp_path}; touch started-$WAITCTL_DELIVERY_ID; until [ -e go-$WAITCTL_DELIVERY_ID ]; do sleep 0.01; done"
    )
    process = start_driver("--until-told")
    asked = {"url": url, "as_of": TICK.isoformat(), "exec": ["/bin/sh", "-c", hang], "told": str(told), "batch_size": 9}
    assert process.stdin is not None
    print(json.dumps(asked), file=process.stdin, flush=True)

    def started() -> set[str]:
        return {path.name.removeprefix("started-") for path in tmp_path.glob("started-*")}

    until(lambda: started() or process.poll() is not None, "a handler that runs")
    process.send_signal(signal.SIGTERM)
    until(told.exists, "the signal's arrival")
    assert process.poll() is None, "what runs is waited for"
    (first,) = started()
    (tmp_path / f"go-{first}").touch()
    # The next may have begun before the tick came to look; it hangs while the tick gives the rest back.
    leased = deliveries.c.lease_expires_at
    until(
        lambda: process.poll() is not None or sum(lease is not None for (lease,) in rows(url, leased)) <= 1,
        "the leases that are given back",
    )
    for each in started():
        (tmp_path / f"go-{each}").touch()
    report = json.loads(process.communicate()[0])
    assert process.returncode == 0
    assert report["stopped"] == "interrupted"
    assert report["delivered"] == len(started()) <= 2
    for each, status, attempt, lease in rows(
        url, deliveries.c.id, deliveries.c.status, deliveries.c.attempt, deliveries.c.lease_expires_at
    ):
        wanted = (DeliveryStatus.DELIVERED, 1) if each in started() else (DeliveryStatus.PENDING, 0)
        assert (status, attempt, lease) == (*wanted, None)
    check(url)


# -- ingest ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_ingest_killed_at_any_commit_and_run_again_has_every_row_once(
    driver: Driver, url: str, copies: Callable[[], str], tmp_path: Path, when: str
) -> None:
    with Database(url, as_of=START) as database:
        service = WaitSchedulingService(database)
        for contact in ("c0", "c999", "c1000", "c2499"):
            service.create_event_wait(EventQuery(("email_open",)), WaitSpec(contact, contact_id=contact, handler="n"))
        EventService(database).record(make_event("email_open", "c500", external_id="e500"))
    lines = tmp_path / "lines"
    lines.write_text("".join(f'{{"type":"email_open","contact":"c{n}","id":"e{n}"}}\n' for n in range(2500)))
    for number, copy in at_every_commit(driver, copies, "ingest", when, lines=str(lines)):
        check(copy)
        assert len(rows(copy, events.c.id)) in {1, 1000, 2000, 2500}, number
        assert driver.run("ingest", copy, TICK, lines=str(lines)) == 0
        check(copy)
        assert rows(copy, events.c.external_id) == sorted((f"e{number}",) for number in range(2500))
        assert rows(copy, waits.c.resolution) == [(Resolution.EVENT,)] * 4
        assert len(rows(copy, deliveries.c.id)) == 4


# -- recurrences -------------------------------------------------------------------------------------------------------


def set_up_recurrences(url: str) -> None:
    """Some that are due, one that ends, one that comes late and is skipped, and one whose stop stands in the inbox."""
    with Database(url, as_of=START) as database:
        service, hourly = RecurrenceService(database), RecurrenceRule(every=parse_duration("1h"))
        for number in range(4):
            service.create(hourly, WaitSpec(f"hourly {number}", handler="nudge"))
        service.create(replace(hourly, count=1), WaitSpec("once", handler="nudge"))
        cron = RecurrenceRule(cron="*/10 * * * *")
        service.create(cron, WaitSpec("late"), rules=Rules(late=Late.SKIP))  # without a handler that is skipped
        service.create(hourly, WaitSpec("stopped", contact_id="ada"), stop_on="email_click")
        stop = sa.insert(events).values(event_type="email_click", contact_id="ada", received_at=START)
        database.write(lambda connection: connection.execute(stop))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_recurrence_is_neither_left_out_nor_doubled(
    driver: Driver, copies: Callable[[], str], url: str, when: str
) -> None:
    set_up_recurrences(url)
    columns = (
        recurrences.c.workflow_execution_id,
        recurrences.c.status,
        recurrences.c.occurrence,
        recurrences.c.next_at,
    )
    whole = copies()
    assert driver.run("tick", whole, TICK) == 0
    wanted = rows(whole, *columns)
    assert [(name, status, number) for name, status, number, _ in wanted] == [
        *((f"hourly {number}", "active", 2) for number in range(4)),
        ("late", "active", 2),
        ("once", "finished", 1),
        ("stopped", "stopped", 1),
    ]
    for number, crashed in at_every_commit(driver, copies, "tick", when):
        check(crashed)
        assert driver.run("tick", crashed, TICK) == 0
        check(crashed)
        assert rows(crashed, *columns) == wanted, number


@pytest.mark.parametrize("undo", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_plan_whose_run_was_killed_goes_on(
    driver: Driver, copies: Callable[[], str], url: str, when: str, undo: bool
) -> None:
    with Database(url, as_of=START) as database:
        service, bulk = WaitSchedulingService(database), BulkService(database)
        for number in range(4):
            service.create_fixed_time_wait("3d", WaitSpec(f"e{number}"))
        query = EventQuery(("email_open",), timeout=parse_duration("3d"))
        service.create_event_wait(query, WaitSpec("listens", contact_id="ada"))
        plan = bulk.plan(PlanKind.CANCEL, WaitFilter())
        if undo:
            bulk.apply(plan.id)
    for _, copy in at_every_commit(driver, copies, "bulk", when, plan=plan.id, undo=undo):
        assert driver.run("bulk", copy, TICK, plan=plan.id, undo=undo) == 0
        check(copy)
        with Database(copy) as database:
            done = BulkService(database).get_plan(plan.id)
            assert (done.applied, done.undone, done.status) == ((5, 5, "undone") if undo else (5, 0, "applied"))
            for found in WaitSchedulingService(database).list_waits()[0]:
                assert found.wait.status.is_open is undo
                assert len(WaitSchedulingService(database).get_history(found.wait.id)) == 2 + undo
