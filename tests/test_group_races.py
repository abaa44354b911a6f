"""Races for waits that take several events: no half is lost, no event counts twice, each wait ends once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

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
    EventQuery,
    EventService,
    RecordResult,
    Settings,
    Tick,
    TickOptions,
    WaitSchedulingService,
    WaitSpec,
    WaitStepExecution,
    make_event,
)
from waitctl.application.processor.run import Phase
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import ConflictError
from waitctl.domain.events import topic_bucket
from waitctl.domain.listeners import Mode
from waitctl.domain.statuses import Resolution
from waitctl.infrastructure.database import host_clock
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.schema import deliveries, matches, waits

HALVES = ("email_open", "form_submit")
ROUNDS = 100
pytestmark = pytest.mark.usefixtures("uncounted")


@pytest.fixture
def open_database(url: str) -> Iterator[Callable[[], Database]]:
    """Opens the same database once more, with connections of its own."""
    opened: list[Database] = []

    def open_() -> Database:
        opened.append(Database(url))
        return opened[-1]

    yield open_
    for database in opened:
        with database.read() as connection:
            invariants(connection)
        database.close()


def create(database: Database, contact: str, timeout_at: datetime | None = None, **query: Any) -> WaitStepExecution:
    base = None if timeout_at is None else timeout_at - timedelta(minutes=1)
    if timeout_at is not None:
        query["timeout"] = parse_duration("1m")
    query = {"event_types": HALVES, "mode": Mode.ALL} | query
    asked = WaitSpec(f"of-{contact}", contact_id=contact, handler="nudge")
    return WaitSchedulingService(database).create_event_wait(EventQuery(**query), asked, base=base).wait


def record(database: Database, name: str, contact: str, **fields: Any) -> RecordResult:
    return EventService(database).record(make_event(name, contact, **fields))


def get(database: Database, wait: WaitStepExecution) -> WaitStepExecution:
    return WaitSchedulingService(database).get_wait_status(wait.id).wait


def all_ended_by_events(database: Database, how_many: int) -> None:
    with database.read() as connection:
        assert count(connection, waits, waits.c.resolution == "event") == how_many
        assert count(connection, deliveries) == how_many


@pytest.mark.parametrize("where", [None, "event.source == 'cli'"], ids=["in-sql", "in-python"])
def test_two_halves_recorded_at_once_complete_the_wait(
    open_database: Callable[[], Database], where: str | None
) -> None:
    """The topics have locks of their own, which recorders share: neither would see what the other has counted."""
    creator, *recorders = (open_database() for _ in range(3))
    for number in range(ROUNDS):
        wait = create(creator, f"c{number}", where=where)
        results = at_once(
            *[
                lambda db=db, name=name, contact=f"c{number}": record(db, name, contact)
                for db, name in zip(recorders, HALVES, strict=True)
            ]
        )
        assert sorted(result.matched for result in results) == [(), (wait.id,)]
    all_ended_by_events(creator, ROUNDS)


def test_the_second_half_waits_for_the_first_ones_commit_and_sees_it(postgres_url: str) -> None:
    with Database(postgres_url) as one, Database(postgres_url) as other:
        wait = create(one, "ada")
        buckets = {topic_bucket(name, "ada") for name in HALVES}
        assert len(buckets) == 2, "not the topics' locks make it wait"

        def work(connection: Connection) -> Background[RecordResult]:
            assert EventService(one).record(make_event(HALVES[0], "ada"), connection).matched == ()
            recording = Background(lambda: record(other, HALVES[1], "ada"))
            until_blocked(postgres_url, recording, "transactionid")
            return recording

        assert one.write(work).result().matched == (wait.id,)
        with one.read() as connection:
            invariants(connection)


def test_a_count_recorded_from_all_sides_takes_each_event_once(open_database: Callable[[], Database]) -> None:
    creator, *recorders = (open_database() for _ in range(5))
    for number in range(25):
        wait = create(creator, f"c{number}", event_types=("page_visit",), mode=Mode.ANY, count=4, distinct="n")
        results = at_once(
            *[
                lambda db=db, part=part, contact=f"c{number}": [
                    record(db, "page_visit", contact, data={"n": n}, external_id=f"{contact}-{n}").matched
                    for n in (part, (part + 1) % 4)
                ]
                for part, db in enumerate(recorders)
            ]
        )
        assert Counter(matched for result in results for matched in result if matched) == {(wait.id,): 1}
    all_ended_by_events(creator, 25)


def test_create_against_both_halves(open_database: Callable[[], Database]) -> None:
    """Looked back, matched, or one of each: none is lost."""
    creator, *recorders = (open_database() for _ in range(3))
    for number in range(ROUNDS):
        contact = f"c{number}"
        jobs: list[Callable[[], object]] = [partial(create, creator, contact)]
        jobs += [partial(record, db, name, contact) for db, name in zip(recorders, HALVES, strict=True)]
        at_once(*jobs)
    all_ended_by_events(creator, ROUNDS)


def test_halves_against_cancel(open_database: Callable[[], Database]) -> None:
    creator, *recorders = (open_database() for _ in range(3))
    service = WaitSchedulingService(open_database())
    seen = Counter[str]()
    for number in range(ROUNDS):
        contact = f"c{number}"
        wait = create(creator, contact)

        def cancel(wait: WaitStepExecution = wait) -> bool:
            try:
                return bool(service.cancel_wait(wait.id))
            except ConflictError:
                return False

        cancelled, *results = at_once(
            cancel,
            *[partial(record, db, name, contact) for db, name in zip(recorders, HALVES, strict=True)],
        )
        assert cancelled != any(result.matched for result in results)
        assert get(creator, wait).resolution is (Resolution.CANCELLED if cancelled else Resolution.EVENT)
        seen[str(cancelled)] += 1
    assert sum(seen.values()) == ROUNDS


def test_halves_against_timeout(open_database: Callable[[], Database]) -> None:
    """Halves arrive around the deadlines while ticks run without a pause: the instants decide."""
    *recorders, ticker = (open_database() for _ in range(3))
    start = host_clock() + timedelta(seconds=1)
    deadlines = {f"c{number}": start + number * timedelta(milliseconds=20) for number in range(40)}
    made = {contact: create(ticker, contact, at) for contact, at in deadlines.items()}

    def record_all(database: Database, name: str) -> None:
        for contact, deadline in deadlines.items():
            reach(deadline - timedelta(milliseconds=15))
            record(database, name, contact)

    running = [Background(partial(record_all, db, name)) for db, name in zip(recorders, HALVES, strict=True)]
    options = TickOptions(only=frozenset({Phase.EXPIRED}), batch_size=3)
    while not all(each.is_done for each in running):
        Tick(ticker, Settings(""), options).run()
    for each in running:
        each.result()
    until(lambda: host_clock() > max(deadlines.values()), "the last deadline")
    Tick(ticker, Settings(""), options).run()
    received: dict[str, datetime] = {}
    for event in EventService(ticker).list_events(limit=1000):
        assert event.received_at is not None
        received[event.contact_id] = max(event.received_at, received.get(event.contact_id, event.received_at))
    for contact, wait in made.items():
        in_time = received[contact] < deadlines[contact]
        assert get(ticker, wait).resolution is (Resolution.EVENT if in_time else Resolution.TIMEOUT), contact


def test_ticks_at_the_inbox_table_lose_no_half(open_database: Callable[[], Database]) -> None:
    creator, *tickers = (open_database() for _ in range(3))
    contacts = [f"c{number}" for number in range(60)]
    made = [create(creator, contact) for contact in contacts]
    events = EventService(creator)
    for name, order in zip(HALVES, (contacts, contacts[::-1]), strict=True):
        for contact in order:
            creator.write(partial(insert_at_the_inbox, event_type=name, contact_id=contact))
    options = TickOptions(only=frozenset({Phase.EVENTS}), batch_size=7)
    with database_errors() as errors:
        at_once(*[lambda db=db: Tick(db, Settings(""), options).run() for db in tickers])
        Tick(creator, Settings(""), options).run()
    assert errors == []
    assert {get(creator, wait).resolution for wait in made} == {Resolution.EVENT}
    assert events.list_events(unmatched=True) == []
    with creator.read() as connection:
        assert count(connection, matches) == 120


def test_overlapping_ingests_in_different_orders_do_not_deadlock(open_database: Callable[[], Database]) -> None:
    """Grouped, plain and judged waits of the same topics: each kind is locked in its turn, by id."""
    creator = open_database()
    queries: list[dict[str, Any]] = [{}, {"exclusive": True}, {"where": "event.data.n > 0"}]
    for number in range(40):
        create(creator, f"c{number}")
        for step, query in enumerate(queries):
            asked = WaitSpec(f"of-c{number}", f"{step}", contact_id=f"c{number}")
            WaitSchedulingService(creator).create_event_wait(EventQuery(HALVES, **query), asked)
    lines = [
        f'{{"type": "{name}", "contact": "c{number}", "id": "{name}-{number}"}}'.encode()
        for number in range(40)
        for name in HALVES
    ]
    orders = [lines, lines[::-1], lines[40:] + lines[:40]]
    with database_errors() as errors:
        done = at_once(
            *[
                lambda db=open_database(), order=order: EventService(db).ingest_ndjson(enumerate(order, 1))
                for order in orders
            ]
        )
    assert set(errors) <= KNOWN
    assert sum(totals.recorded for totals in done) == 80
    assert sum(totals.matched for totals in done) == 120
