"""Races between two or more real connections: each wait ends once, and no wake-up is lost or doubled."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.interleaving import (
    KNOWN,
    Background,
    at_once,
    count,
    database_errors,
    insert_at_the_inbox,
    reach,
    until,
    until_blocked,
)
from tests.invariants import invariants
from waitctl import (
    Database,
    Duration,
    EventQuery,
    EventService,
    Settings,
    Tick,
    TickOptions,
    TickReport,
    WaitSchedulingService,
    WaitSpec,
    WaitStatus,
    make_event,
)
from waitctl.application.processor.run import Phase
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import (
    IdempotencyKeyConflictError,
    IllegalTransitionError,
    WaitAlreadyOpenError,
    WaitExecutionExpiredError,
)
from waitctl.domain.events import topic_bucket
from waitctl.domain.handlers import ExecConfig, HandlerConfig
from waitctl.domain.statuses import Resolution, WaitExecutionStatus
from waitctl.infrastructure.database import host_clock
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.schema import deliveries, events, listeners, transitions, waits
from waitctl.infrastructure.schema_version import HEAD
from waitctl.infrastructure.store import completion, due

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
TOPIC = "email_open"
ROUNDS = 400
"""Of everything at once; `make chaos HOURS=1` has 2,000 of each race."""


@pytest.fixture
def open_database(url: str) -> Iterator[Callable[..., Database]]:
    """Opens the same database once more, with connections of its own."""
    opened: list[Database] = []

    def open_(as_of: datetime | None = None) -> Database:
        opened.append(Database(url, as_of=as_of))
        return opened[-1]

    yield open_
    for database in opened:
        with database.read() as connection:
            invariants(connection)
        database.close()


def create_due(database: Database, how_many: int, handler: str | None = "nudge") -> list[str]:
    service = WaitSchedulingService(database)

    def work(connection: Connection) -> list[str]:
        return [
            service.create_fixed_time_wait(
                "1m", WaitSpec(f"execution-{number}", handler=handler), base=LONG_AGO, connection=connection
            ).wait.id
            for number in range(how_many)
        ]

    return database.write(work)


def create_listening(
    database: Database, contact: str, *, execution: str | None = None, timeout_at: datetime | None = None, **query: Any
) -> str:
    """A wait for an event of the contact; ``timeout_at`` is its deadline."""
    spec = WaitSpec(execution or f"of-{contact}", contact_id=contact, handler="nudge")
    base = None
    if timeout_at is not None:
        query["timeout"], base = parse_duration("1m"), timeout_at - timedelta(minutes=1)
    types = query.pop("event_types", (TOPIC,))
    return WaitSchedulingService(database).create_event_wait(EventQuery(types, **query), spec, base=base).wait.id


def tick(
    database: Database, *only: Phase, handlers: dict[str, HandlerConfig] | None = None, **options: Any
) -> TickReport:
    settings = Settings(str(database.url), handlers=handlers or {})
    return Tick(database, settings, TickOptions(only=frozenset(only or Phase), **options)).run()


def status_of(database: Database, wait_id: str) -> WaitStatus:
    return WaitSchedulingService(database).get_wait_status(wait_id)


# -- ticks -------------------------------------------------------------------------------------------------------------


def test_two_ticks_resume_each_due_wait_once(open_database: Callable[..., Database]) -> None:
    ids = create_due(open_database(), 120)
    reports = at_once(*[lambda db=open_database(): tick(db, Phase.DUE, batch_size=5) for _ in range(2)])
    assert sum(report.resumed for report in reports) == 120
    with open_database().read() as connection:
        resumed = connection.execute(sa.select(transitions.c.wait_id).where(transitions.c.from_status == "scheduled"))
        assert sorted(resumed.scalars()) == sorted(ids)
        assert sorted(connection.execute(sa.select(deliveries.c.wait_id)).scalars()) == sorted(ids)


def test_a_tick_goes_past_what_another_has_in_hand(postgres_url: str) -> None:
    with Database(postgres_url) as slow, Database(postgres_url) as fast:
        create_due(slow, 10)

        def claim_and_dawdle(connection: Connection) -> tuple[int, TickReport]:
            now = host_clock()
            claimed = due.resolve_due(connection, now=now, late_before=now, limit=4, reason="due", actor="slow").ended
            return claimed, tick(fast, Phase.DUE, batch_size=100)

        claimed, report = slow.write(claim_and_dawdle)
        assert (claimed, report.resumed) == (4, 6)
        with slow.read() as connection:
            invariants(connection)
            assert count(connection, deliveries) == 10


def test_two_ticks_hand_out_each_delivery_once(open_database: Callable[..., Database], tmp_path: Path) -> None:
    create_due(open_database(), 24)
    log = tmp_path / "log"
    command = ("/bin/sh", "-c", f'echo "$WAITCTL_DELIVERY_ID" >> {log}')
    handlers = {"nudge": HandlerConfig("nudge", ExecConfig(command), concurrency=2)}
    reports = at_once(*[lambda db=open_database(): tick(db, handlers=handlers, batch_size=3) for _ in range(2)])
    assert sum(report.delivered for report in reports) == 24
    with open_database().read() as connection:
        assert sorted(log.read_text().split()) == sorted(connection.execute(sa.select(deliveries.c.id)).scalars())


def test_a_wait_is_cancelled_or_resumed_by_a_tick_never_both(open_database: Callable[..., Database]) -> None:
    canceller, ticker = open_database(), open_database()
    ids = create_due(canceller, 40)
    service = WaitSchedulingService(canceller)

    def cancel_all() -> set[str]:
        cancelled = set()
        for wait_id in reversed(ids):
            try:
                cancelled.add(service.cancel_wait(wait_id).wait.id)
            except IllegalTransitionError:
                continue
        return cancelled

    def tick_all() -> int:
        return sum(tick(ticker, Phase.DUE, batch_size=1, max_batches=1).resumed for _ in ids)

    cancelled, resumed = at_once(cancel_all, tick_all)
    assert len(cancelled) + resumed == len(ids)
    with canceller.read() as connection:
        ended = {row.id: row.status for row in connection.execute(sa.select(waits.c.id, waits.c.status))}
    assert {wait_id for wait_id, status in ended.items() if status is WaitExecutionStatus.CANCELLED} == cancelled


def test_a_wait_is_cancelled_or_resumed_by_an_event_never_both(open_database: Callable[..., Database]) -> None:
    canceller, recorder = open_database(), open_database()
    service, recording = WaitSchedulingService(canceller), EventService(recorder)
    for number in range(20):
        contact = f"c{number}"
        wait_id = create_listening(canceller, contact)

        def cancel(wait_id: str = wait_id) -> bool:
            try:
                return service.cancel_wait(wait_id).wait.status is WaitExecutionStatus.CANCELLED
            except IllegalTransitionError:
                return False

        def record(contact: str = contact) -> bool:
            return bool(recording.record(make_event(TOPIC, contact)).matched)

        assert sorted(at_once(cancel, record)) == [False, True]


# -- the deadline ------------------------------------------------------------------------------------------------------


def test_the_deadline_decides_between_event_and_timeout(open_database: Callable[..., Database]) -> None:
    """Events arrive around the deadlines while ticks run without a pause: the instants decide, not who was faster."""
    recorder, ticker = open_database(), open_database()
    start = host_clock() + timedelta(seconds=1)
    deadlines = {f"c{number}": start + number * timedelta(milliseconds=4) for number in range(60)}
    ids = {contact: create_listening(recorder, contact, timeout_at=at) for contact, at in deadlines.items()}
    recording = EventService(recorder)

    def record_all() -> None:
        for contact, deadline in deadlines.items():
            reach(deadline - timedelta(milliseconds=8))
            recording.record(make_event(TOPIC, contact))

    running = Background(record_all)
    while not running.is_done:
        tick(ticker, Phase.EXPIRED, batch_size=3)
    running.result()
    until(lambda: host_clock() > max(deadlines.values()), "the last deadline")
    tick(ticker, Phase.EXPIRED)
    with recorder.read() as connection:
        found = connection.execute(sa.select(events.c.contact_id, events.c.received_at))
        received = {row.contact_id: row.received_at for row in found}
    for contact, wait_id in ids.items():
        in_time = received[contact] < deadlines[contact]
        ended = status_of(recorder, wait_id).wait.resolution
        assert ended is (Resolution.EVENT if in_time else Resolution.TIMEOUT), contact


def test_an_event_in_time_wins_though_the_tick_comes_before_its_commit(postgres_url: str) -> None:
    deadline = datetime(2026, 6, 1, tzinfo=UTC)
    early, late = Database(postgres_url, as_of=deadline - timedelta(seconds=1)), Database(postgres_url, as_of=deadline)
    with early, late:
        wait_id = create_listening(early, "ada", timeout_at=deadline)

        def record(connection: Connection) -> Background[TickReport]:
            EventService(early).record(make_event(TOPIC, "ada"), connection)
            ticking = Background(lambda: tick(late, Phase.EXPIRED))
            until_blocked(postgres_url, ticking, "advisory")
            return ticking

        assert early.write(record).result().timed_out == 0
        assert status_of(late, wait_id).wait.resolution is Resolution.EVENT


@pytest.mark.parametrize("types", [(TOPIC, "page_visit"), ("page_visit", TOPIC)])
def test_every_topic_of_a_wait_is_locked_before_it_times_out(postgres_url: str, types: tuple[str, ...]) -> None:
    """A batch has room for fewer listeners than the wait has."""
    deadline = datetime(2026, 6, 1, tzinfo=UTC)
    early, late = Database(postgres_url, as_of=deadline - timedelta(seconds=1)), Database(postgres_url, as_of=deadline)
    with early, late:
        wait_id = create_listening(early, "ada", timeout_at=deadline, event_types=types)

        def record(connection: Connection) -> Background[TickReport]:
            early.lock_topics(connection, [topic_bucket(TOPIC, "ada")], exclusive=False)
            ticking = Background(lambda: tick(late, Phase.EXPIRED, batch_size=1))
            until_blocked(postgres_url, ticking, "advisory")
            assert EventService(early).record(make_event(TOPIC, "ada"), connection).matched == (wait_id,)
            return ticking

        assert early.write(record).result().timed_out == 0
        assert status_of(late, wait_id).wait.resolution is Resolution.EVENT


def test_a_tick_times_out_only_what_it_has_locked(postgres_url: str) -> None:
    """The second of two ticks waits for the first one's topics, and must not go on to others without their lock."""
    deadline = datetime(2026, 6, 1, tzinfo=UTC)
    early, late = Database(postgres_url, as_of=deadline - timedelta(seconds=1)), Database(postgres_url, as_of=deadline)
    with early, late, Database(postgres_url) as other:
        first = create_listening(early, "ada", timeout_at=deadline - timedelta(milliseconds=1))
        second = create_listening(early, "bob", timeout_at=deadline)

        def time_out_first(connection: Connection) -> Background[TickReport]:
            other.lock_topics(connection, [topic_bucket(TOPIC, "ada")], exclusive=True)
            ticking = Background(lambda: tick(late, Phase.EXPIRED, batch_size=1))
            until_blocked(postgres_url, ticking, "advisory")
            completion.resolve_expired(connection, [first], now=deadline, reason="timeout", actor="other")
            return ticking

        def record(connection: Connection) -> tuple[str, ...]:
            early.lock_topics(connection, [topic_bucket(TOPIC, "bob")], exclusive=False)
            assert other.write(time_out_first).result().timed_out == 0
            return EventService(early).record(make_event(TOPIC, "bob"), connection).matched

        assert early.write(record) == (second,)
        assert status_of(late, first).wait.resolution is Resolution.TIMEOUT
        assert status_of(late, second).wait.resolution is Resolution.EVENT


@pytest.mark.parametrize("types", [(TOPIC, "page_visit"), ("page_visit", TOPIC)])
def test_an_event_in_the_inbox_table_in_time_holds_the_timeout_off(
    open_database: Callable[..., Database], types: tuple[str, ...]
) -> None:
    deadline = datetime(2026, 6, 1, tzinfo=UTC)
    late = open_database(deadline)
    wait_id = create_listening(
        open_database(deadline - timedelta(minutes=1)), "ada", timeout_at=deadline, event_types=types
    )
    row = sa.insert(events).values(
        event_type=TOPIC, contact_id="ada", received_at=deadline - timedelta(seconds=1), correlated_at=None
    )
    late.write(lambda connection: connection.execute(row))
    assert tick(late, Phase.EXPIRED).timed_out == 0
    assert tick(late, Phase.EVENTS, Phase.EXPIRED).resumed == 1
    assert status_of(late, wait_id).wait.resolution is Resolution.EVENT


# -- create against record ---------------------------------------------------------------------------------------------


def test_create_against_record_loses_no_wake_up(open_database: Callable[..., Database]) -> None:
    """Whichever is first, the listener meets the event: 200 rounds, none lost, none doubled."""
    creating, recording = WaitSchedulingService(open_database()), EventService(open_database())
    woken = Counter[str]()
    for number in range(200):
        contact = f"contact-{number}"
        spec = WaitSpec(f"execution-{number}", contact_id=contact, handler="nudge")
        created, recorded = at_once(
            partial(creating.create_event_wait, EventQuery((TOPIC,)), spec),
            partial(recording.record, make_event(TOPIC, contact)),
        )
        looked_back = created.wait.status is WaitExecutionStatus.RESUMED
        assert looked_back != (recorded.matched == (created.wait.id,)), contact
        woken["looked back" if looked_back else "matched"] += 1
    with open_database().read() as connection:
        assert count(connection, waits, waits.c.resolution == "event") == 200
        assert count(connection, deliveries) == 200
        assert count(connection, listeners, listeners.c.status == "matched") == 200
    assert sum(woken.values()) == 200


@pytest.mark.usefixtures("uncounted")
@pytest.mark.long
def test_create_record_timeout_and_cancel_at_once(open_database: Callable[..., Database]) -> None:
    """All four, round after round: every wait ends once, what could hear the event heard it, nothing is doubled."""
    creating, recording = WaitSchedulingService(open_database()), EventService(open_database())
    cancelling, ticking = WaitSchedulingService(open_database()), open_database()
    firsts = set[str]()
    for number in range(ROUNDS):
        contact = f"contact-{number}"
        first = create_listening(ticking, contact, timeout_at=host_clock() + timedelta(milliseconds=3))
        second = WaitSpec(f"second-{number}", contact_id=contact, handler="nudge")
        created, recorded, _, _ = at_once(
            partial(creating.create_event_wait, EventQuery((TOPIC,)), second),
            partial(recording.record, make_event(TOPIC, contact)),
            lambda: tick(ticking, Phase.EXPIRED),
            partial(_cancel, cancelling, first),
        )
        looked_back = created.wait.status is WaitExecutionStatus.RESUMED
        assert looked_back != (created.wait.id in recorded.matched), contact
        firsts.add(first)
    with open_database().read() as connection:
        found = connection.execute(sa.select(waits.c.id, waits.c.resolution))
        ended = Counter(str(row.resolution) for row in found if row.id in firsts)
        by_event, timed_out = ended["event"], ended["timeout"]
        assert count(connection, waits, waits.c.resolution.is_(None)) == 0
        assert count(connection, waits, waits.c.resolution == "event") == ROUNDS + by_event
        assert count(connection, deliveries) == ROUNDS + by_event + timed_out
        assert count(connection, transitions, transitions.c.from_status.is_not(None)) == 2 * ROUNDS
    assert sum(ended.values()) == ROUNDS
    assert set(ended) <= {"event", "timeout", "cancelled"}


def _cancel(service: WaitSchedulingService, wait_id: str) -> None:
    """Cancel unless it is too late."""
    with suppress(IllegalTransitionError, WaitExecutionExpiredError):
        service.cancel_wait(wait_id)


# -- creates -----------------------------------------------------------------------------------------------------------

FIRST_USE = """
import sys
from waitctl import Database, WaitSpec, WaitSchedulingService
import alembic.command, uuid_utils, waitctl.infrastructure.migrations  # what takes long is over before the start
url, number = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
print(WaitSchedulingService(url).create_fixed_time_wait("1h", WaitSpec(f"execution-{number}")).wait.id)
"""


def test_eight_first_uses_of_a_new_file_at_once(sqlite_url: str, tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST_USE, sqlite_url, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    with Database(sqlite_url) as database:
        assert database.current_revision() == HEAD
        with database.read() as connection:
            invariants(connection)
            ids = set(connection.execute(sa.select(waits.c.id)).scalars())
    assert {stdout.strip() for stdout, _ in outputs} == ids and len(ids) == 8
    assert [path.name for path in tmp_path.iterdir() if "before" in path.name] == []


def test_the_same_step_from_many_threads_is_one_wait(open_database: Callable[..., Database]) -> None:
    services = [WaitSchedulingService(open_database()) for _ in range(8)]
    for number in range(3):
        spec = WaitSpec(f"execution-{number}", handler="nudge")
        results = at_once(
            *[lambda service=service, asked=spec: service.create_fixed_time_wait("3d", asked) for service in services]
        )
        assert sum(result.created for result in results) == 1
        assert len({result.wait.id for result in results}) == 1


def test_the_same_key_from_many_threads_is_one_wait(open_database: Callable[..., Database]) -> None:
    """The same key on different steps: what was asked is the same, so each gets the one wait."""
    services = [WaitSchedulingService(open_database()) for _ in range(8)]
    results = at_once(
        *[
            lambda service=service, number=number: service.create_fixed_time_wait(
                "3d", WaitSpec("execution", f"step-{number}", idempotency_key="once")
            )
            for number, service in enumerate(services)
        ]
    )
    assert sum(result.created for result in results) == 1
    assert len({result.wait.id for result in results}) == 1


def test_different_waits_for_one_step_at_once_are_one_wait_and_conflicts(
    open_database: Callable[..., Database],
) -> None:
    services = [WaitSchedulingService(open_database()) for _ in range(6)]

    def create(service: WaitSchedulingService, duration: str, key: str | None) -> str:
        try:
            asked = WaitSpec("execution", key or "step", idempotency_key=key)
            return "created" if service.create_fixed_time_wait(duration, asked).created else "same"
        except (WaitAlreadyOpenError, IdempotencyKeyConflictError) as error:
            return type(error).__name__

    for key, conflict in ((None, "WaitAlreadyOpenError"), ("once", "IdempotencyKeyConflictError")):
        results = at_once(
            *[
                lambda service=service, duration=f"{1 + number % 2}d", key=key: create(service, duration, key)
                for number, service in enumerate(services)
            ]
        )
        assert Counter(results) == {"created": 1, "same": 2, conflict: 3}


def test_replacing_at_once_leaves_one_open_wait(open_database: Callable[..., Database]) -> None:
    services = [WaitSchedulingService(open_database()) for _ in range(4)]
    results = at_once(
        *[
            lambda service=service, number=number: service.create_fixed_time_wait(
                Duration(number + 1), WaitSpec("execution"), replace_open=True
            )
            for number, service in enumerate(services)
        ]
    )
    assert all(result.created for result in results)
    with open_database().read() as connection:
        assert count(connection, waits, waits.c.status == "scheduled") == 1
        assert count(connection, waits, waits.c.status == "cancelled") == 3


# -- ingests -----------------------------------------------------------------------------------------------------------


def test_overlapping_ingests_in_different_orders_do_not_deadlock(open_database: Callable[..., Database]) -> None:
    contacts = [f"contact-{number}" for number in range(100)]
    ids = {create_listening(open_database(), contact) for contact in contacts[:30]}
    lines = [
        json.dumps({"type": kind, "contact": contact, "id": f"{kind}-{contact}"}).encode()
        for contact in contacts
        for kind in (TOPIC, "email_click")
    ]
    orders = [lines, lines[::-1], lines[100:] + lines[:100]]

    def ingest(database: Database, order: list[bytes]) -> tuple[int, int]:
        totals = EventService(database).ingest_ndjson(enumerate(order, 1))
        return totals.recorded, totals.matched

    with database_errors() as errors:
        for round_ in range(5):
            source = [line.replace(b'"id": "', f'"source": "s{round_}", "id": "'.encode()) for line in lines]
            orders = [source, source[::-1], source[100:] + source[:100]]
            done = at_once(*[lambda db=open_database(), order=order: ingest(db, order) for order in orders])
            assert sum(recorded for recorded, _ in done) == len(lines)
            assert sum(matched for _, matched in done) == (len(ids) if round_ == 0 else 0)
    assert set(errors) <= KNOWN
    with open_database().read() as connection:
        assert count(connection, events) == 5 * len(lines)


def test_records_of_one_event_at_once_are_one_event(open_database: Callable[..., Database]) -> None:
    services = [EventService(open_database()) for _ in range(4)]
    wait_id = create_listening(open_database(), "ada")
    results = at_once(
        *[
            lambda service=service: service.record(make_event(TOPIC, "ada", external_id="one", source="mail"))
            for service in services
        ]
    )
    assert sorted(result.duplicate for result in results) == [False, True, True, True]
    assert len({result.event_id for result in results}) == 1
    assert [result.matched for result in results if result.matched] == [(wait_id,)]


@pytest.mark.parametrize("known", [{}, {"external_id": "one", "source": "mail"}], ids=["ours", "the sender's"])
def test_an_event_that_is_recorded_again_is_one_event(
    open_database: Callable[..., Database], known: dict[str, Any]
) -> None:
    """As a program does that lost the connection and does not know what became of it; and at once."""
    event = make_event(TOPIC, "ada", **known)
    services = [EventService(open_database()) for _ in range(4)]
    results = [*at_once(*[partial(service.record, event) for service in services]), services[0].record(event)]
    assert sorted(result.duplicate for result in results) == [False, True, True, True, True]
    assert {result.event_id for result in results} == {event.id}


def test_ticks_at_the_inbox_table_and_creates_lose_no_wake_up(open_database: Callable[..., Database]) -> None:
    creator, door = open_database(), open_database()
    tickers = [open_database() for _ in range(2)]
    contacts = [f"contact-{number}" for number in range(40)]

    def insert_all() -> None:
        for contact in contacts:
            door.write(partial(insert_at_the_inbox, event_type=TOPIC, contact_id=contact))

    def create_all() -> list[str]:
        return [create_listening(creator, contact) for contact in contacts]

    with database_errors() as errors:
        inserting, creating = Background(insert_all), Background(create_all)
        while not (inserting.is_done and creating.is_done):
            at_once(*[lambda ticker=ticker: tick(ticker, Phase.EVENTS, batch_size=4) for ticker in tickers])
        inserting.result()
        ids = creating.result()
        tick(tickers[0], Phase.EVENTS)
    assert errors == []
    assert {status_of(creator, wait_id).wait.resolution for wait_id in ids} == {Resolution.EVENT}


# -- exclusive ---------------------------------------------------------------------------------------------------------


def test_racing_events_each_wake_an_exclusive_wait(open_database: Callable[..., Database]) -> None:
    """Two events and two exclusive waits: each event takes one, though both look at the oldest first."""
    creator, services = open_database(), [EventService(open_database()) for _ in range(2)]
    for number in range(20):
        contact = f"contact-{number}"
        ids = [create_listening(creator, contact, execution=f"{contact}-{each}", exclusive=True) for each in "ab"]
        results = at_once(
            *[
                lambda service=service, contact=contact: service.record(make_event(TOPIC, contact))
                for service in services
            ]
        )
        assert sorted(wait_id for result in results for wait_id in result.matched) == sorted(ids)


def test_a_second_event_goes_on_to_the_next_exclusive_wait(postgres_url: str) -> None:
    with Database(postgres_url) as one, Database(postgres_url) as other:
        ids = [create_listening(one, "ada", execution=each, exclusive=True) for each in "abc"]

        def record(connection: Connection) -> tuple[tuple[str, ...], Background[Any]]:
            first = EventService(one).record(make_event(TOPIC, "ada"), connection)
            recording = Background(lambda: EventService(other).record(make_event(TOPIC, "ada")))
            until_blocked(postgres_url, recording)
            return first.matched, recording

        matched, recording = one.write(record)
        assert (matched, recording.result().matched) == ((ids[0],), (ids[1],))
        with one.read() as connection:
            invariants(connection)


def test_an_event_that_came_first_is_taken_by_one_of_racing_exclusive_waits(
    open_database: Callable[..., Database],
) -> None:
    creators = [open_database() for _ in range(4)]
    EventService(creators[0]).record(make_event(TOPIC, "ada"))
    ids = at_once(
        *[
            lambda database=database, number=number: create_listening(
                database, "ada", execution=str(number), exclusive=True
            )
            for number, database in enumerate(creators)
        ]
    )
    ended = [status_of(creators[0], wait_id).wait.status for wait_id in ids]
    assert Counter(ended) == {WaitExecutionStatus.RESUMED: 1, WaitExecutionStatus.WAITING: 3}
