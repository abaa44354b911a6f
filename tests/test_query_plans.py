"""The hot paths read what they need through their indexes, in databases with a history.

The statements are those that the real functions run: caught on their way to the driver, and explained with their
parameters. How many there are does not depend on how many rows a batch has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.interleaving import statements
from waitctl import (
    ContactService,
    Database,
    Event,
    EventQuery,
    EventService,
    Settings,
    Tick,
    TickOptions,
    WaitSchedulingService,
    WaitSpec,
    make_event,
)
from waitctl.application.calendars.opening_rules import HostOpeningRules
from waitctl.application.contacts import ContactInput
from waitctl.application.processor.run import Phase
from waitctl.application.waits.recurring import RecurrenceService
from waitctl.domain.analytics import Dimension
from waitctl.domain.counts import CAP
from waitctl.domain.durations import parse_duration
from waitctl.domain.filters import WaitFilter
from waitctl.domain.listeners import Mode
from waitctl.domain.occurrences import NextWait
from waitctl.domain.plans import Fate, Plan, PlanKind, PlanStatus
from waitctl.domain.recurrence import Recurrence, RecurrenceRule
from waitctl.domain.statuses import DeliveryStatus, WaitExecutionStatus, WaitType
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.indexes import metadata
from waitctl.infrastructure.migrations import core
from waitctl.infrastructure.sql_values import instant_text
from waitctl.infrastructure.store import (
    analytics,
    completion,
    due,
    health,
    inbox,
    overview,
    pruning,
    recent,
    rollups,
    sleeping,
    ticks,
    upcoming,
)
from waitctl.infrastructure.store import deliveries as delivery_store
from waitctl.infrastructure.store import events as event_store
from waitctl.infrastructure.store import plans as plan_store
from waitctl.infrastructure.store import recurrences as recurrence_store
from waitctl.infrastructure.store import waits as wait_store
from waitctl.infrastructure.store.correlation import matching, near_misses
from waitctl.infrastructure.store.correlation.verdicts import Verdicts
from waitctl.infrastructure.store.plans import Audit, Movable, PlanBatch, PlannedMove

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MANY = 20_000

# A history: per number one wait that was resumed, one that is scheduled, one that listens (its deadline ahead), each with
# an audit line, and an event and a delivery that are through.
HISTORY = """
INSERT INTO workflow_wait_executions
  (id, workflow_execution_id, step_id, contact_id, wait_type, status, scheduled_at, timeout_at, timezone, wait_config,
   handler, created_at, updated_at, resolved_at, resolution)
SELECT {id_}, 'execution-' || n, 'resumed', NULL, 'fixed_time', 'resumed', {past}, {null_at}, 'UTC', '{{}}', 'nudge',
       {past}, {past}, {past}, 'due' FROM numbers;
INSERT INTO workflow_wait_executions
  (id, workflow_execution_id, step_id, contact_id, wait_type, status, scheduled_at, timeout_at, timezone, wait_config,
   handler, created_at, updated_at, resolved_at, resolution)
SELECT {id_}, 'execution-' || n, 'scheduled', NULL, 'fixed_time', 'scheduled', {future}, NULL, 'UTC', '{{}}', 'nudge',
       {past}, {past}, NULL, NULL FROM numbers;
INSERT INTO workflow_wait_executions
  (id, workflow_execution_id, step_id, contact_id, wait_type, status, scheduled_at, timeout_at, timezone, wait_config,
   handler, created_at, updated_at, resolved_at, resolution)
SELECT {id_}, 'execution-' || n, 'listens', 'contact-' || n, 'for_event', 'waiting', NULL, {future}, 'UTC', '{{}}',
       'nudge', {past}, {past}, NULL, NULL FROM numbers;
INSERT INTO workflow_event_listeners
  (id, wait_id, event_type, contact_id, exclusive, status, since_at, timeout_at, expires_at)
SELECT {id_}, id, 'email_open', contact_id, false, 'active', created_at, timeout_at, timeout_at
  FROM workflow_wait_executions WHERE status = 'waiting';
INSERT INTO workflow_events (id, event_type, contact_id, received_at, correlated_at)
SELECT {id_}, 'email_open', 'visitor-' || (n % 5000), {past}, {past} FROM numbers;
INSERT INTO workflow_wait_deliveries
  (id, wait_id, handler, outcome, status, attempt, next_attempt_at, created_at, delivered_at)
SELECT {id_}, id, 'nudge', 'due', 'delivered', 1, resolved_at, resolved_at, resolved_at
  FROM workflow_wait_executions WHERE status = 'resumed';
INSERT INTO workflow_wait_transitions (wait_id, {number_column} at, to_status, reason, actor, workflow_execution_id)
SELECT id, {number} created_at, 'scheduled', 'created', 'test', workflow_execution_id FROM workflow_wait_executions;
INSERT INTO workflow_wait_transitions (wait_id, {number_column} at, from_status, to_status, reason, actor)
SELECT id, {number} created_at, 'scheduled', 'resumed', 'due', 'test'
  FROM workflow_wait_executions WHERE status = 'resumed';
"""
"""Plus, of everything that is looked for, a few rows."""


def fill(database: Database) -> None:
    if database.is_sqlite:
        numbers = f"(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {MANY}) SELECT n FROM c)"
        names = {
            "id_": "printf('01a00000-%04x-7000-8000-%012x', abs(random()) % 65536, abs(random()) % 281474976710656)",
            "past": "strftime('%Y-%m-%d %H:%M:%f000', '2026-05-01', '-' || n || ' minutes')",
            "future": "strftime('%Y-%m-%d %H:%M:%f000', '2026-07-01', '+' || n || ' minutes')",
            "null_at": "NULL",
            "number_column": "id,",
            "number": "row_number() OVER () + (SELECT coalesce(max(rowid), 0) FROM workflow_wait_transitions),",
        }
    else:
        numbers = f"generate_series(1, {MANY}) AS numbers(n)"
        names = {
            "id_": "gen_random_uuid()",
            "past": "timestamptz '2026-05-01Z' - n * interval '1 minute'",
            "future": "timestamptz '2026-07-01Z' + n * interval '1 minute'",
            "null_at": "CAST(NULL AS timestamptz)",
            "number_column": "",
            "number": "",
        }

    def work(connection: Connection) -> None:
        for statement in HISTORY.format(**names).replace("FROM numbers", f"FROM {numbers}").split(";"):
            if statement.strip():
                connection.execute(statement.replace("%", "%%") if not database.is_sqlite else statement)

    database.write(work)
    analyse(database)


def analyse(database: Database) -> None:
    database.write(lambda connection: connection.execute("ANALYZE"))


@pytest.fixture(scope="module")
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Database]]:
    """The filled database of a kind, made once: the tests roll back what they do."""
    opened: dict[str, Database] = {}
    drop: list[Callable[[], None]] = []

    def open_(kind: str) -> Database:
        if kind not in opened:
            if kind == "sqlite":
                url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'waits.db'}"
            else:
                cluster, template = request.getfixturevalue("cluster_and_template")
                name = f"waitctl_plans_{id(opened):x}"
                url = cluster.create(name, template)
                drop.append(lambda: cluster.drop(name))
            opened[kind] = Database(url, as_of=NOW)
            fill(opened[kind])
        return opened[kind]

    yield open_
    for database in opened.values():
        database.close()
    for each in drop:
        each()


@pytest.fixture(params=["sqlite", "postgresql"])
def large(request: pytest.FixtureRequest, filled: Callable[..., Database]) -> Database:
    return filled(request.param)


def explained(database: Database, work: Callable[[Connection], Any]) -> list[str]:
    """The plans of the statements that ``work`` runs, one text each; what it does is rolled back."""

    def explain(connection: Connection) -> list[str]:
        with statements() as seen:
            work(connection)
        wanted = [each for each in seen if each[0].lstrip().startswith(("SELECT", "WITH", "INSERT", "UPDATE"))]
        return [plan(connection, statement, parameters) for statement, parameters in wanted]

    return database.write(explain, rollback=True)


def plan(connection: Connection, statement: str, parameters: Any) -> str:
    if connection.dialect == "sqlite":
        rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        return "\n".join(row[3] for row in rows)
    return "\n".join(row[0] for row in connection.execute(f"EXPLAIN {statement}", parameters))


HOT = ("workflow_wait_executions", "workflow_event_listeners", "workflow_events", "workflow_wait_deliveries")


def check(plans: list[str], *indexes: str) -> None:
    """Each of these indexes is used, and no table of the history is read from end to end."""
    whole = "\n\n".join(plans)
    for index in indexes:
        assert index in whole, f"{index} is not used:\n{whole}"
    for line in whole.splitlines():
        for table in HOT:
            assert f"Seq Scan on {table}" not in line, whole
        # SQLite names an alias or table after SCAN; a scan of a partial index of open rows says USING INDEX.
        if line.startswith("SCAN "):
            name = line.split()[1]
            hot = {*HOT, "taker", "earlier", "counter", "other", "heard", "first"}
            assert name not in hot or "INDEX ix_" in line, whole


def test_claiming_due_waits(large: Database) -> None:
    now = datetime(2026, 7, 1, 0, 10, tzinfo=UTC)  # ten are due

    def claim(connection: Connection) -> object:
        return due.resolve_due(connection, now=now, late_before=now, limit=5, reason="due", actor="test")

    check(explained(large, claim), "ix_wait_executions_scheduled")


def test_ending_a_full_batch(large: Database) -> None:
    """A thousand waits are looked up one by one; PostgreSQL would read all that there are, and do it in every batch."""
    now = datetime(2027, 1, 1, tzinfo=UTC)  # all are due

    def claim(connection: Connection) -> object:
        return due.resolve_due(connection, now=now, late_before=now, limit=1000, reason="due", actor="test")

    plans = explained(large, claim)
    check(plans, "ix_wait_executions_scheduled")
    assert "Seq Scan on workflow_wait_executions" not in "\n".join(plans)


def test_finding_out_that_there_is_nothing_to_do(large: Database) -> None:
    plans = explained(large, lambda connection: ticks.is_anything_left(connection, now=NOW))
    check(plans, "ix_wait_deliveries_pending", "ix_wait_deliveries_running")


def test_counting_what_remains(large: Database) -> None:
    plans = explained(large, lambda connection: completion.count_remaining(connection, now=NOW))
    check(plans, "ix_wait_executions_scheduled", "ix_event_listeners_expires")


def test_listing_who_sleeps(large: Database) -> None:
    """Every kind of sleeper from its index in the order in which it wakes, from the front and from a place on."""

    def look(connection: Connection) -> None:
        first = sleeping.list_sleeping(connection, WaitFilter(), now=NOW, limit=50, after=None)
        for after in (first[0], first[-1]):
            found = sleeping.list_sleeping(connection, WaitFilter(), now=NOW, limit=50, after=after.id)
            assert len(found) == 50

    plans = explained(large, look)
    check(plans, "ix_wait_executions_scheduled", "ix_event_listeners_expires", "ix_event_listeners_wait")


def test_finding_expired_listeners(large: Database) -> None:
    now = datetime(2026, 7, 1, 0, 10, tzinfo=UTC)

    def expire(connection: Connection) -> None:
        found, _ = completion.expired_listeners(connection, now=now, limit=5)
        ids = {wait_id for wait_id, *_ in found}
        assert completion.resolve_expired(connection, ids, now=now, reason="timeout", actor="test") == 5

    check(explained(large, expire), "ix_event_listeners_expires", "ix_event_listeners_wait")


def test_matching_an_event(large: Database) -> None:
    def record(connection: Connection) -> object:
        return EventService(large).record(make_event("email_open", "contact-7"), connection)

    check(explained(large, record), "ix_event_listeners_lookup")


def insert(connection: Connection, database: Database, new: list[Event]) -> list[str]:
    ids = [event.id for event in new]
    rows = [event_store.row_of(event) for event in new]
    text = event_store.encode_rows(rows, database.url.get_backend_name())
    return event_store.insert_events(connection, text, ids, now=NOW).listened_for


def test_ingesting_a_batch(large: Database) -> None:
    def ingest(connection: Connection) -> None:
        new = [make_event("email_open", f"contact-{number}") for number in range(200)]
        ids = insert(connection, large, new)
        found = matching.correlate_events(
            connection, ids, HostOpeningRules().for_event, Verdicts(), now=NOW, reason="event ", actor="test"
        )
        assert len(found) == 199

    check(explained(large, ingest), "ix_event_listeners_lookup")


def test_ingesting_a_batch_of_new_events(filled: Callable[..., Database]) -> None:
    large = filled("postgresql")

    def ingest(connection: Connection) -> None:
        new = [make_event("email_open", f"contact-{number}", external_id=str(number)) for number in range(200)]
        rows = [event_store.row_of(event) for event in new]
        text = event_store.encode_rows(rows, "postgresql")
        assert len(event_store.insert_presumed_new(connection, text, rows, now=NOW)) == 199

    plans = explained(large, ingest)
    check(plans, "ix_event_listeners_lookup")
    assert "Join" not in "".join(plans) and "Sort" not in plans[0]


def test_looking_back(large: Database) -> None:
    asked = WaitSpec("looks-back", contact_id="visitor-7")
    query = EventQuery(("email_open",), lookback=parse_duration("10m"))

    def create(connection: Connection) -> object:
        return WaitSchedulingService(large).create_event_wait(query, asked, connection=connection)

    check(explained(large, create), "ix_events_topic")


def test_counting_for_groups(large: Database) -> None:
    """Among many waits that one event ends, those that are grouped or judged, and what they have counted."""

    def ingest(connection: Connection) -> None:
        service = WaitSchedulingService(large)
        many: list[tuple[str, EventQuery]] = [
            ("all", EventQuery(("email_open", "form_submit"), mode=Mode.ALL)),
            ("count", EventQuery(("email_open",), count=2, distinct="n", where="event.data.n > 0")),
            ("judged", EventQuery(("email_open",), exclusive=True)),
        ]
        for number in range(50):
            for step, query in many:
                asked = WaitSpec(f"grouped-{number}", step, contact_id=f"contact-{number}")
                service.create_event_wait(query, asked, connection=connection)
        new = [
            make_event(name, f"contact-{number}", data={"n": n})
            for number in range(200)
            for n, name in enumerate(("email_open", "form_submit", "email_open"))
        ]
        ids = insert(connection, large, new)
        analyse_on(connection)
        with statements() as seen:
            found = matching.correlate_events(
                connection, ids, HostOpeningRules().for_event, Verdicts(), now=NOW, reason="event ", actor="test"
            )
        assert len(found) == 199 + 2 * 50, "of the third wait's events only one has n > 0"
        caught.extend(seen)

    caught: list[tuple[str, Any]] = []

    def explain(connection: Connection) -> list[str]:
        ingest(connection)
        wanted = [each for each in caught if each[0].lstrip().startswith(("SELECT", "WITH", "INSERT", "UPDATE"))]
        return [plan(connection, statement, parameters) for statement, parameters in wanted]

    check(large.write(explain, rollback=True), "ix_event_listeners_lookup")


def analyse_on(connection: Connection) -> None:
    connection.execute("ANALYZE")


def test_creating_a_wait_with_a_key(large: Database) -> None:
    asked = WaitSpec("keyed", idempotency_key="key")

    def create(connection: Connection) -> object:
        return WaitSchedulingService(large).create_fixed_time_wait("1h", asked, connection=connection)

    check(explained(large, create), "uq_wait_executions_key", "uq_wait_executions_open")


def test_claiming_deliveries(large: Database) -> None:
    """Most of the outbox may be pending: a claim of five must not read and sort the rest."""

    def claim(connection: Connection) -> None:
        connection.execute("UPDATE workflow_wait_deliveries SET status = 'pending', delivered_at = NULL, attempt = 0")
        connection.execute("ANALYZE workflow_wait_deliveries")
        delivery_store.claim_deliveries(
            connection, "nudge", now=NOW, lease_until=NOW + timedelta(hours=1), max_attempts=8, limit=5
        )

    plans = explained(large, claim)[1:]  # the first one is our own
    check(plans, "ix_wait_deliveries_pending")
    whole = "\n".join(plans)
    assert "Bitmap Index Scan on ix_wait_deliveries_pending" not in whole and "MULTI-INDEX" not in whole, whole


def test_finding_the_waits_of_an_execution(large: Database) -> None:
    def find(connection: Connection) -> None:
        wait_store.waits_of_execution(connection, "execution-7")

    check(explained(large, find)[:1], "ix_wait_transitions_execution")


@pytest.mark.parametrize("workflow_id", [None, "billing"])
def test_counting_what_is_upcoming(large: Database, workflow_id: str | None) -> None:
    """What is over is not read, however much of it there is."""

    def count(connection: Connection) -> None:
        over = "UPDATE workflow_event_listeners SET status = 'expired' WHERE expires_at > '2026-07-01 02:00:30'"
        connection.execute(over)
        connection.execute("ANALYZE")
        until = NOW + timedelta(days=31)
        counted = upcoming.count_upcoming(connection, now=NOW, until=until, workflow_id=workflow_id)
        if workflow_id is None:
            assert sum(counted.timeouts.values()) == 120

    check(explained(large, count)[-1:], "ix_wait_executions_scheduled", "ix_event_listeners_expires")


def test_listing_who_sleeps_beside_a_pending_outbox(large: Database) -> None:
    """The first of each handler's, in the order in which the index has them; all of them are never sorted."""

    def look(connection: Connection) -> None:
        connection.execute("UPDATE workflow_wait_deliveries SET status = 'pending', delivered_at = NULL, attempt = 1")
        connection.execute("ANALYZE workflow_wait_deliveries")
        assert len(sleeping.list_sleeping(connection, WaitFilter(), now=NOW, limit=50, after=None)) == 50

    plans = [each for each in explained(large, look) if "workflow_wait_deliveries" in each]
    [plan] = [each for each in plans if "ix_wait_deliveries_pending" in each and "ix_wait_deliveries_wait" in each]
    assert "TEMP B-TREE FOR ORDER BY" not in plan, plan
    assert not re.search(r"Sort Key: workflow_wait_deliveries[^\n]*\n[^\n]*Seq Scan", plan), plan


def test_looking_at_what_is_open(large: Database) -> None:
    """A screen reads some of what is open, and nothing of the history; the handlers without reading the outbox."""

    def look(connection: Connection) -> None:
        connection.execute("UPDATE workflow_wait_deliveries SET status = 'pending', delivered_at = NULL, attempt = 0")
        connection.execute("ANALYZE workflow_wait_deliveries")
        if connection.dialect == "postgresql":  # the few listeners here would be read whole, and rightly
            connection.execute("SET LOCAL enable_seqscan = off")
        counts = overview.count_open(connection, now=NOW)
        assert counts.open > CAP
        overview.count_listeners(connection, now=NOW)
        assert [each.pending for each in overview.backlogs(connection, now=NOW)] == [CAP + 1]

    indexes = ("ix_wait_executions_scheduled", "ix_event_listeners_expires", "ix_wait_deliveries_pending")
    plans = [each for each in explained(large, look) if not each.startswith("Update")]  # that one is our own
    check(plans[1:] if large.is_sqlite else plans, *indexes)


def test_upkeep(large: Database) -> None:
    """What ended in a span is found by when it did; events by the clocks in their ids."""
    past = datetime(2026, 4, 30, tzinfo=UTC)

    def keep_up(connection: Connection) -> None:
        rollups.end_of_chunk(connection, past, limit=5)
        rollups.roll_up_waits(connection, past, past + timedelta(hours=1))
        rollups.not_yet(connection, past + timedelta(hours=10))
        found = pruning.claim_ended(connection, before=past, after=past - timedelta(days=90), limit=5)
        assert len(found) == 5
        assert pruning.delete_waits(connection, found, now=NOW)["transitions"] == 10
        health.progress_at(connection)
        overview.count_ended_since(connection, past)
        overview.next_due(connection, limit=5)

    check(explained(large, keep_up), "ix_wait_executions_resolved")


def test_a_prune_takes_the_oldest_without_sorting_the_rest(large: Database) -> None:
    """It goes along the index until it has enough: a planner that expects to find hardly any would rather sort them all."""

    def claim(connection: Connection) -> None:
        pruning.claim_ended(connection, before=NOW, after=NOW - timedelta(days=900), limit=5)

    (claimed,) = explained(large, claim)
    assert "ix_wait_executions_resolved" in claimed, claimed
    assert not re.search("Sort Key|TEMP B-TREE", claimed), claimed
    if not large.is_sqlite:
        expected = re.search(r"ix_wait_executions_resolved on \w+ .*rows=(\d+)", claimed)
        assert expected is not None, claimed
        assert int(expected[1]) > MANY / 8, claimed


NOTHING_IN = """
UPDATE pg_class SET reltuples = 0, relpages = 100
  FROM pg_index
 WHERE (indrelid = 'waitctl_uncounted'::regclass AND pg_class.oid IN (indrelid, indexrelid))
    OR (indrelid = 'workflow_wait_deliveries'::regclass AND pg_class.oid = indexrelid AND indpred IS NOT NULL)
"""
"""What autovacuum says of a table whose rows are all deleted, and cannot be removed while a snapshot sees them."""


def test_upkeep_where_statistics_say_that_nothing_is_noted(filled: Callable[..., Database]) -> None:
    """Whether a wait is noted is looked up, and not found by going through all that are: they may be many again."""
    past = datetime(2026, 4, 30, tzinfo=UTC)

    def keep_up(connection: Connection) -> None:
        connection.execute("INSERT INTO waitctl_uncounted SELECT id FROM workflow_wait_executions")
        connection.execute(NOTHING_IN)
        rollups.roll_up_waits(connection, past, past + timedelta(hours=1))
        pruning.claim_ended(connection, before=past, after=past - timedelta(days=90), limit=5)

    whole = "\n".join(explained(filled("postgresql"), keep_up)[1:])
    assert whole.count("Index Only Scan using pk_waitctl_uncounted") == 4, whole
    assert whole.count("Index Scan using ix_wait_deliveries_wait ") == 1, whole
    assert "Join Filter" not in whole, whole


COME_AGAIN = """
INSERT INTO workflow_recurrences (id, workflow_execution_id, step_id, rule, rules, timezone, status, created_by,
                                  occurrence, anchor_at, next_at, wait_id, created_at, updated_at)
SELECT id, workflow_execution_id, 'again', '{}', '{}', timezone, 'active', 'test',
       1, created_at, scheduled_at, id, created_at, updated_at
  FROM workflow_wait_executions WHERE status = 'scheduled'
"""


def test_what_comes_next(large: Database) -> None:
    """The recurrences of a batch are found by their key."""

    def go_on(connection: Connection) -> None:
        connection.execute(COME_AGAIN)
        analyse_on(connection)
        ids = connection.execute("SELECT id FROM workflow_recurrences LIMIT 1000").scalars()
        waits = [NextWait(new_id(), of, 2, WaitType.UNTIL_DATE, NOW, "UTC", "{}", None) for of in map(str, ids)]
        assert recurrence_store.go_on(connection, waits, now=NOW, reason="again", actor="test") == set()

    whole = "\n".join(explained(large, go_on)[-3 if large.is_sqlite else -1 :])
    assert not re.search(r"(Seq Scan on|SCAN) workflow_recurrences", whole), whole


def planned(connection: Connection, kind: PlanKind, wanted: WaitFilter) -> PlanBatch:
    """A new plan beside an old one, which is all that the statistics know of."""
    ids = plan_store.find_wanted(connection, wanted, kind, now=NOW)[:4000]

    def write() -> str:
        until, none = NOW + timedelta(days=30), (None, None, None)
        plan = Plan(new_id(), kind, PlanStatus.PLANNED, {}, None, "test", NOW, until, 0, 0, *none)
        plan_store.insert_plan(connection, plan)
        if kind.moves:
            found = plan_store.list_movable(connection, ids)
            plan_store.insert_moves(connection, plan.id, [somewhere(wait) for wait in found])
        else:
            plan_store.insert_entries(connection, plan.id, ids, wanted, kind, now=NOW)
        return plan.id

    write()
    analyse_on(connection)
    new = write()
    left = plan_store.list_left(connection, new, undone=False, beyond=plan_store.FIRST, limit=2000)
    assert len(left) == 2000
    return PlanBatch.of(new, plan_store.FIRST, left)


def somewhere(wait: Movable) -> PlannedMove:
    at = instant_text(NOW + timedelta(days=60))
    where = (at, at if wait.listens else None, "{}", None, "UTC", "0" if wait.listens else None)
    return PlannedMove(wait.id, instant_text(wait.updated_at), *where, None, None)


@pytest.mark.parametrize("type_", [WaitType.FIXED_TIME, WaitType.FOR_EVENT])
@pytest.mark.parametrize("kind", [PlanKind.CANCEL, PlanKind.RESUME, PlanKind.RESCHEDULE])
def test_what_plans_do(large: Database, kind: PlanKind, type_: WaitType) -> None:
    """Each wait of a batch is found by the key of its table, and so is its entry, whatever is known of older plans."""
    audit = Audit(NOW, "by plan", "test")

    def work(connection: Connection) -> None:
        batch = planned(connection, kind, WaitFilter(wait_types=(type_,)))
        plan_store.topics_of(connection, batch)
        if kind.moves:
            done = plan_store.move_planned(connection, batch, audit, back=False)
            assert plan_store.move_planned(connection, batch, audit, back=True) == done
        else:
            assert kind.resolution
            done = plan_store.end_planned(connection, batch, kind.resolution, audit)
        if kind is PlanKind.CANCEL:
            assert plan_store.reopen_planned(connection, batch, audit) == done
        assert done == batch.ids
        plan_store.note_skipped(connection, batch, sorted(done), Fate.CHANGED, undone=False)

    plans = [each for each in explained(large, work) if "workflow_wait_plan_entries" in each]
    check(plans)
    found = re.findall(r"(?:Index Cond:|entries USING).*plan_id ?=.*", "\n".join(plans))
    assert found and not [each for each in found if "wait_id" not in each], "\n\n".join(plans)


def test_analytics(large: Database) -> None:
    """The totals of a span by their key; what is in none yet by when it ended; those in error by an index of theirs."""
    past = datetime(2026, 4, 30, tzinfo=UTC)

    def ask(connection: Connection) -> None:
        if connection.dialect == "postgresql":  # the totals here are empty
            connection.execute("SET LOCAL enable_seqscan = off")
        analytics.counted(connection, WaitFilter(), Dimension.WORKFLOW, since=past, mark=past + timedelta(hours=10))

    key = "sqlite_autoindex_waitctl_rollups_1" if large.is_sqlite else "pk_waitctl_rollups"
    check(explained(large, ask), key, "ix_wait_executions_resolved", "ix_wait_executions_error")


def claim_late(connection: Connection) -> object:
    connection.execute(
        "UPDATE workflow_wait_executions SET late_policy = 'skip' WHERE workflow_execution_id = 'execution-7'"
        " AND status = 'scheduled'"
    )
    analyse_on(connection)
    return due.claim_late(connection, late_before=NOW, limit=5)


# What else an index is there for: who looks into it.
LOOKS: dict[str, Callable[[Connection], object]] = {
    "ix_wait_executions_late": claim_late,
    "ix_wait_deliveries_running": lambda connection: delivery_store.claim_deliveries(
        connection, "nudge", now=NOW, lease_until=NOW, max_attempts=8, limit=5, lapsed=True
    ),
    "ix_wait_deliveries_wait": lambda connection: delivery_store.claim_deliveries(
        connection, "nudge", now=NOW, lease_until=NOW, max_attempts=8, limit=5
    ),
    "ix_wait_deliveries_dead": lambda connection: delivery_store.dead_ids(connection, handler="nudge"),
    "ix_event_listeners_event": lambda connection: event_store.get_events(
        connection, [str(connection.execute(sa.select(metadata.tables["workflow_events"].c.id).limit(1)).scalar())]
    ),
}


@pytest.mark.parametrize("index", LOOKS)
def test_what_an_index_is_there_for(large: Database, index: str) -> None:
    assert index in "\n".join(explained(large, LOOKS[index]))


def test_listing_for_a_screen(large: Database) -> None:
    """Whatever filter is chosen, and however few rows pass it: no table is read from end to end."""

    def look(connection: Connection) -> None:
        for wanted in (
            WaitFilter(statuses=(WaitExecutionStatus.ERROR,)),
            WaitFilter(contact_id="contact-7"),
            WaitFilter(workflow_id="none"),
            WaitFilter(overdue=True),
            WaitFilter(due_before=timedelta(hours=2), statuses=(WaitExecutionStatus.WAITING,)),
        ):
            recent.list_recent_waits(connection, wanted, now=NOW, limit=50, after=None)
        meant: dict[str, Any] = {"event_type": None, "contact_id": None, "since": None, "unmatched": True}
        recent.list_recent_events(connection, **meant, limit=50, after=None)
        for status in (DeliveryStatus.PENDING, DeliveryStatus.RUNNING, DeliveryStatus.DEAD):
            recent.list_recent_deliveries(connection, [status], handler=None, limit=50, after=None)
        upcoming.count_next(connection, now=NOW, until=NOW + timedelta(days=40))
        place = "01980000-0000-7000-8000-000000000000"
        near_misses.waits_about(connection, ["contact-7"], 200, around=place)
        near_misses.contacts_listened_for(connection, "email_open", 5, around=place)
        near_misses.contacts_with_events(connection, ["email_open"], NOW, 5, around=place)

    whole = "\n".join(explained(large, look))
    for index in ("ix_wait_executions_scheduled", "ix_event_listeners_expires", "ix_wait_deliveries_dead"):
        assert index in whole, whole
    lines = whole.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        assert not any(f"Seq Scan on {table}" in line for table in HOT), whole
        if "Index Scan Backward using pk_workflow_wait_executions" in line:
            assert "Index Cond" in following, whole
        if line.startswith("SCAN "):
            assert line.split()[1] in SMALL or "INDEX" in line, whole


SMALL = {*(f"anon_{n}" for n in range(1, 5)), *(f"(subquery-{n})" for n in range(1, 4))} | {
    *("some", "ends", "together", "never", "are_open", "older", "newer", "CONSTANT")
}
"""What SQLite calls the few rows that an index gave first."""


def test_finding_uncorrelated_events(large: Database) -> None:
    def claim(connection: Connection) -> object:
        return inbox.claim_oldest(connection, 100)

    check(explained(large, claim), "ix_events_uncorrelated")


def test_every_index_is_in_the_metadata_for_a_reason(large: Database) -> None:
    """None is missing in the database that the plans are made in."""
    with large.read() as connection:
        inspector = sa.inspect(core(connection))
        there = {index["name"] for table in metadata.tables for index in inspector.get_indexes(table)}
    assert {index.name for table in metadata.tables.values() for index in table.indexes if index.name} <= there | {
        "uq_wait_executions_key"  # SQLite's inspector leaves out an index on an expression
    }


# -- how many statements -----------------------------------------------------------------------------------------------


def tick_statements(database: Database, how_many: int, phase: Phase) -> int:
    """The statements of a tick that finds this many rows for ``phase``."""
    service = WaitSchedulingService(database)
    past = NOW - timedelta(days=1)
    name = f"{phase}-{how_many}"

    def set_up(connection: Connection) -> None:
        for number in range(how_many):
            asked = WaitSpec(f"{name}-{number}", contact_id=f"{name}-{number}", handler="nudge")
            if phase is Phase.DUE:
                service.create_fixed_time_wait("1h", asked, base=past, connection=connection)
                continue
            query = EventQuery(("email_open",), timeout=parse_duration("1h"))
            base = past if phase is Phase.EXPIRED else NOW
            service.create_event_wait(query, asked, base=base, connection=connection)
            if phase is Phase.EVENTS:
                row = {"event_type": "email_open", "contact_id": asked.contact_id, "received_at": NOW}
                connection.execute(sa.insert(metadata.tables["workflow_events"]).values(row))

    database.write(set_up)
    with statements() as seen:
        report = Tick(database, Settings(""), TickOptions(only=frozenset({phase}))).run()
    assert report.resumed + report.timed_out == how_many
    return len(seen)


@pytest.mark.parametrize("phase", [Phase.EVENTS, Phase.DUE, Phase.EXPIRED])
def test_a_batch_is_a_constant_number_of_statements(url: str, phase: Phase) -> None:
    with Database(url, as_of=NOW) as database:
        with database.read():
            pass
        few, many = tick_statements(database, 3, phase), tick_statements(database, 150, phase)
    assert few == many


def test_what_comes_next_is_a_constant_number_of_statements(url: str) -> None:
    """In the zones of as many contacts, too."""

    def go_on(database: Database, how_many: int) -> int:
        service, contacts, made = RecurrenceService(database), ContactService(database), list[Recurrence]()
        for number in range(how_many):
            contact = f"c{how_many}-{number}"
            contacts.set_contact(ContactInput(contact, "Europe/Berlin"))
            spec = WaitSpec(f"{how_many}-{number}", contact_id=contact, zone_of_contact=True)
            made.append(service.create(RecurrenceRule.parse(every="1d"), spec).recurrence)
        database.as_of = made[-1].next_at
        with statements() as seen:
            report = Tick(database, Settings(""), TickOptions(only=frozenset({Phase.DUE}))).run()
        assert report.resumed >= how_many
        assert {service.get(each.id).occurrence for each in made} == {2}
        return len(seen)

    with Database(url, as_of=NOW) as database:
        with database.read():
            pass
        assert go_on(database, 3) == go_on(database, 40)


def test_a_batch_for_groups_is_a_constant_number_of_statements(url: str) -> None:
    def record(database: Database, how_many: int) -> int:
        service = WaitSchedulingService(database)
        for n in range(how_many):
            query = EventQuery(
                ("email_open", "form_submit"), mode=Mode.ALL, where="event.data.n > 0" if n % 2 else None
            )
            service.create_event_wait(query, WaitSpec(f"{how_many}-{n}", contact_id=f"c{how_many}-{n}"))
        lines = [
            json.dumps({"type": name, "contact": f"c{how_many}-{n}", "data": {"n": 1} if n % 3 else {}}).encode()
            for n in range(how_many)
            for name in ("email_open", "form_submit")
        ]
        with statements() as seen:
            totals = EventService(database).ingest_ndjson(enumerate(lines, 1))
        assert totals.matched == sum(n % 2 == 0 or n % 3 > 0 for n in range(how_many))
        return len(seen)

    with Database(url, as_of=NOW) as database:
        with database.read():
            pass
        assert record(database, 6) == record(database, 90)


def test_an_ingest_is_a_constant_number_of_statements(url: str) -> None:
    def ingest(database: Database, how_many: int) -> int:
        lines = [
            json.dumps({"type": "email_open", "contact": f"c{n}", "id": f"{how_many}-{n}"}).encode()
            for n in range(how_many)
        ]
        with statements() as seen:
            assert EventService(database).ingest_ndjson(enumerate(lines, 1)).recorded == how_many
        return len(seen)

    with Database(url, as_of=NOW) as database:
        with database.read():
            pass
        assert ingest(database, 3) == ingest(database, 1000)
