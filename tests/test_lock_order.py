"""The conditions under which no wake-up is lost (semantics 21), one at a time.

PostgreSQL shows who waits for which lock: a test goes on when it has seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.interleaving import Background, count, statements, until_blocked
from tests.invariants import invariants
from waitctl import (
    Database,
    EventQuery,
    EventService,
    RecordResult,
    WaitCreateResult,
    WaitSchedulingService,
    WaitSpec,
    make_event,
)
from waitctl.domain.errors import DatabaseBusyError, UnsafeConnectionError
from waitctl.domain.events import topic_bucket
from waitctl.domain.statuses import Resolution, WaitExecutionStatus
from waitctl.infrastructure.database import Caller
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.schema import events, waits

TOPIC = "email_open"

Job = Callable[..., RecordResult | WaitCreateResult]


@pytest.fixture
def two(postgres_url: str) -> Iterator[tuple[Database, Database]]:
    """The same database twice, each with connections of its own."""
    with Database(postgres_url) as one, Database(postgres_url) as other:
        yield one, other
        with one.read() as connection:
            invariants(connection)


def create(
    database: Database, connection: Caller | None = None, contact: str = "ada", execution: str = "execution"
) -> WaitCreateResult:
    asked = WaitSpec(execution, contact_id=contact, handler="nudge")
    return WaitSchedulingService(database).create_event_wait(EventQuery((TOPIC,)), asked, connection=connection)


def record(
    database: Database,
    connection: Caller | None = None,
    contact: str = "ada",
    external_id: str | None = None,
) -> RecordResult:
    return EventService(database).record(make_event(TOPIC, contact, external_id=external_id), connection)


def engine_of(url: str, **options: object) -> sa.Engine:
    """An application's own engine, nothing about it set up by waitctl."""
    driver = "sqlite+pysqlite" if url.startswith("sqlite") else "postgresql+psycopg"
    return sa.create_engine(sa.make_url(url).set(drivername=driver), **options)


# -- the topic lock ----------------------------------------------------------------------------------------------------


def test_a_creator_waits_for_a_recorder_and_sees_its_event(two: tuple[Database, Database], postgres_url: str) -> None:
    one, other = two

    def work(connection: Connection) -> tuple[Background[WaitCreateResult], datetime]:
        record(one, connection)
        creating = Background(lambda: create(other))
        until_blocked(postgres_url, creating, "advisory")
        return creating, one.clock(connection)

    creating, let_go_at = one.write(work)
    wait = creating.result().wait
    assert wait.resolution is Resolution.EVENT
    assert wait.created_at >= let_go_at, "the clock is read after the lock"


def test_a_recorder_waits_for_a_creator_and_wakes_its_wait(two: tuple[Database, Database], postgres_url: str) -> None:
    one, other = two

    def work(connection: Connection) -> tuple[str, Background[RecordResult], datetime]:
        wait_id = create(one, connection).wait.id
        recording = Background(lambda: record(other))
        until_blocked(postgres_url, recording, "advisory")
        return wait_id, recording, one.clock(connection)

    wait_id, recording, let_go_at = one.write(work)
    assert recording.result().matched == (wait_id,)
    event = EventService(one).get_event(recording.result().event_id or "")
    assert event.received_at is not None and event.received_at >= let_go_at, "the clock is read after the lock"


def test_what_was_rolled_back_wakes_nobody(two: tuple[Database, Database], postgres_url: str) -> None:
    one, other = two

    def record_in_vain(connection: Connection) -> Background[WaitCreateResult]:
        record(one, connection)
        creating = Background(lambda: create(other))
        until_blocked(postgres_url, creating, "advisory")
        return creating

    assert one.write(record_in_vain, rollback=True).result().wait.status is WaitExecutionStatus.WAITING

    def create_in_vain(connection: Connection) -> Background[RecordResult]:
        create(one, connection, "bob", "second")
        recording = Background(lambda: record(other, contact="bob"))
        until_blocked(postgres_url, recording, "advisory")
        return recording

    assert one.write(create_in_vain, rollback=True).result().matched == ()


def test_recorders_of_a_topic_share_its_lock(two: tuple[Database, Database]) -> None:
    one, other = two

    def work(connection: Connection) -> RecordResult:
        record(one, connection)
        return Background(lambda: record(other)).result()

    assert not one.write(work).duplicate


def test_topics_of_other_buckets_do_not_wait(two: tuple[Database, Database]) -> None:
    one, other = two
    assert topic_bucket(TOPIC, "ada") != topic_bucket(TOPIC, "bob")

    def work(connection: Connection) -> RecordResult:
        create(one, connection)
        return Background(lambda: record(other, contact="bob")).result()

    assert one.write(work).matched == ()


def test_the_lock_is_a_statement_of_its_own_before_every_read(two: tuple[Database, Database]) -> None:
    one, _ = two
    with one.read():
        pass  # opened and found to be at head

    def on_a_callers(job: Job, connection: Connection) -> object:
        return job(one, connection, "eve", "caller's")

    for job, function in ((create, "pg_advisory_xact_lock("), (record, "pg_advisory_xact_lock_shared(")):
        with statements() as seen:
            job(one)
        first, *_ = [statement for statement, _ in seen]
        assert function in first and "workflow_" not in first and "SELECT clock_timestamp()" in first
        with statements() as seen:
            one.write(partial(on_a_callers, job))
        first, second, *_ = [statement for statement, _ in seen]
        assert first == "SHOW transaction_isolation"
        assert function in second and "workflow_" not in second and "SELECT clock_timestamp()" in second


def test_a_batch_takes_its_buckets_in_order(two: tuple[Database, Database]) -> None:
    one, _ = two
    lines = [f'{{"type": "{TOPIC}", "contact": "contact-{number}"}}'.encode() for number in range(300)]
    with statements() as seen:
        EventService(one).ingest_ndjson(enumerate(lines, 1))
    (taken,) = [parameters["buckets"] for statement, parameters in seen if "pg_advisory" in statement]
    assert taken == sorted(set(taken)) and len(taken) > 64


# -- a caller's connection ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT"])
def test_a_callers_connection_that_could_lose_a_wake_up_is_refused(postgres_url: str, level: str) -> None:
    engine = engine_of(postgres_url, isolation_level=level)
    with Database(postgres_url) as database:
        for job in (create, record):
            with engine.connect() as connection, connection.begin(), pytest.raises(UnsafeConnectionError) as refused:
                job(database, connection)
            assert refused.value.hint is not None and "READ COMMITTED" in refused.value.hint
        with database.read() as own:
            assert (count(own, waits), count(own, events)) == (0, 0)
    engine.dispose()


@pytest.mark.parametrize("commits", [True, False])
def test_a_callers_transaction_is_all_or_nothing(url: str, commits: bool) -> None:
    """On an engine of the application's own: its rows, the wait and the event come and go together."""
    engine = engine_of(url)
    with Database(url) as database:
        database.upgrade()
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE orders (id text)"))
        with engine.connect() as connection, connection.begin() as transaction:
            connection.execute(sa.text("INSERT INTO orders VALUES ('17')"))
            record(database, connection)
            assert create(database, connection).wait.resolution is Resolution.EVENT
            create(database, connection, "bob", "second")
            assert len(record(database, connection, "bob").matched) == 1
            if not commits:
                transaction.rollback()
        with database.read() as own:
            rows = own.execute(sa.text("SELECT count(*) FROM orders")).scalar_one()
            assert (rows, count(own, waits), count(own, events)) == ((1, 2, 2) if commits else (0, 0, 0))
            invariants(own)
    engine.dispose()


def test_a_callers_deadlock_is_a_typed_error_and_the_other_goes_on(two: tuple[Database, Database]) -> None:
    """Two transactions of callers that record the same two events crosswise. Ours would be run again; theirs cannot."""
    one, other = two
    engine = engine_of(one.url.render_as_string(hide_password=False))
    with engine.connect() as first, engine.connect() as second, first.begin(), second.begin():
        record(one, first, external_id="a")
        record(other, second, external_id="b")
        crossing = Background(lambda: record(one, first, external_id="b"))
        lost = []
        jobs: list[Callable[[], RecordResult]] = [lambda: record(other, second, external_id="a"), crossing.result]
        for job in jobs:
            try:
                job()
            except DatabaseBusyError as error:
                lost.append(error)
                second.rollback()
        assert len(lost) == 1
    engine.dispose()


# -- SQLite ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def manual(sqlite_url: str) -> Iterator[sa.Engine]:
    """An application's engine on a migrated SQLite file, on which it says BEGIN itself."""
    with Database(sqlite_url) as database:
        database.upgrade()
    engine = engine_of(sqlite_url, connect_args={"isolation_level": None})
    yield engine
    engine.dispose()


@pytest.mark.parametrize("job", [create, record])
def test_a_callers_stale_snapshot_is_refused(sqlite_url: str, manual: sa.Engine, job: Job) -> None:
    with Database(sqlite_url) as database, manual.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        assert count(connection, events) == 0  # from here on it sees the database as it is now
        record(database)
        with pytest.raises(UnsafeConnectionError) as refused:
            job(database, connection)
        assert refused.value.hint == "begin it with BEGIN IMMEDIATE"
        connection.exec_driver_sql("ROLLBACK")


@pytest.mark.parametrize("job", [create, record])
def test_a_callers_autocommit_is_refused_on_sqlite(sqlite_url: str, manual: sa.Engine, job: Job) -> None:
    with Database(sqlite_url) as database, manual.connect() as connection, pytest.raises(UnsafeConnectionError):
        job(database, connection)


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN"])
def test_a_callers_newest_snapshot_is_accepted_and_holds_others_off(
    sqlite_url: str, manual: sa.Engine, begin: str
) -> None:
    with Database(sqlite_url) as database, manual.connect() as connection:
        connection.exec_driver_sql(begin)
        wait_id = create(database, connection).wait.id
        recording = Background(lambda: record(database))
        connection.exec_driver_sql("COMMIT")
        assert recording.result().matched == (wait_id,)


def test_on_sqlite_a_creator_sees_the_event_of_the_writer_before_it(sqlite_url: str, tmp_path: Path) -> None:
    with Database(sqlite_url) as one, Database(sqlite_url) as other:

        def work(connection: Connection) -> Background[WaitCreateResult]:
            record(one, connection)
            return Background(lambda: create(other))

        assert one.write(work).result().wait.resolution is Resolution.EVENT
        with one.read() as connection:
            invariants(connection)
