"""What ended long ago goes, in batches, and nothing else; what is counted of it stays; a wait's key is never forgotten."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from tests.invariants import invariants
from tests.scene import MINUTE, NOON, Scene
from waitctl import Database, Duration, EventQuery, Settings, Tick, WaitRequest, WaitSpec
from waitctl.application import retention
from waitctl.application.retention import Pruned, Upkeep, first_id_of, instant_of_id
from waitctl.domain.errors import IdempotencyKeyConflictError
from waitctl.domain.histograms import BEYOND, HANDLER_MILLISECONDS, SECONDS, bucket_of, cumulative
from waitctl.domain.intents import FixedTime
from waitctl.infrastructure.executor import WATCHERS, Connection, Said
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.store import pruning, rollups
from waitctl.infrastructure.store.rollups import Rollup

DAY = timedelta(days=1)
COUNTED = ("waits", "events", "listeners", "deliveries", "outputs", "transitions", "tombstones")
TABLES = {
    "waits": "workflow_wait_executions",
    "events": "workflow_events",
    "listeners": "workflow_event_listeners",
    "deliveries": "workflow_wait_deliveries",
    "transitions": "workflow_wait_transitions",
    "tombstones": "waitctl_tombstones",
    "outputs": "workflow_delivery_outputs",
}


def count(scene: Scene, *names: str) -> list[int]:
    return [scene.sql(f"SELECT count(*) FROM {TABLES[name]}")[0][0] for name in names or COUNTED]


def date_ids(scene: Scene) -> None:
    """Give events, whose clock is pretended, the ids that they would have had: their heads are clocks."""
    head = first_id_of(NOON)[:13]
    for table, column in (
        ("workflow_events", "id"),
        ("workflow_event_listeners", "matched_event_id"),
        ("workflow_listener_matches", "event_id"),
        ("workflow_wait_executions", "resolution_event_id"),
    ):
        dated = f"'{head}' || substr(CAST({column} AS text), 14)"
        dated = dated if scene.database.is_sqlite else f"CAST({dated} AS uuid)"
        scene.sql(f"UPDATE {table} SET {column} = {dated} WHERE {column} IS NOT NULL")


def prune(scene: Scene, days: float = 90, **options: Any) -> Pruned:
    return Upkeep(scene.database, older_than=days * DAY, **options).run()


@pytest.fixture
def aged(scene: Scene, tmp_path: Path) -> Scene:
    """On day 100: waits that ended on the first day in every way, one that ended late, and some that are open."""
    scene.handle(tmp_path, "echo done")
    due = scene.create("1m", "due", handler="nudge", workflow_id="billing", idempotency_key="k")
    assert due.created
    scene.listen(execution="by event", handler="nudge")
    scene.listen("sms_reply", execution="by timeout", timeout="1m")
    scene.waits.cancel_wait(scene.create(execution="cancelled").wait.id)
    scene.waits.resume_wait(scene.create(execution="by hand", handler="nudge").wait.id)
    scene.create("200d", "sleeps")
    scene.listen("form_submit", execution="listens", timeout=None)
    scene.record(external_id="e1", source="crm")
    scene.record("page_visit", "nobody", external_id="e2", source="crm")
    scene.at(2).tick()
    date_ids(scene)
    scene.waits.resume_wait(scene.at(99 * 24 * 60).create(execution="yesterday").wait.id)
    # Totals go by the real clock, and so the tick has counted up to today: as if it had not.
    scene.sql("DELETE FROM waitctl_rollups")
    first = "1970-01-01 00:00:00.000000" if scene.database.is_sqlite else NOON - 20_000 * DAY
    scene.sql("UPDATE waitctl_upkeep SET until_at = :first", first=first)
    return scene.at(100 * 24 * 60)


def test_what_ended_long_ago_goes_and_nothing_else(aged: Scene) -> None:
    would = Upkeep(aged.database, older_than=90 * DAY).what_would_go()
    before = count(aged)
    pruned = prune(aged)
    assert pruned == would
    assert pruned.to_json() == {
        "waits": 5,
        "events": 2,
        "deliveries": 3,
        "transitions": 10,
        "quarantined": 0,
        "tombstones": 0,
    }
    left = aged.sql("SELECT workflow_execution_id FROM workflow_wait_executions ORDER BY 1")
    assert [row[0] for row in left] == ["listens", "sleeps", "yesterday"]
    after = dict(zip(COUNTED, zip(before, count(aged), strict=True), strict=True))
    assert after["listeners"] == (3, 1)
    assert (after["deliveries"], after["outputs"], after["tombstones"][1]) == ((3, 0), (3, 0), 3)
    with aged.database.read() as connection:
        invariants(connection)
    assert prune(aged) == Pruned()
    assert prune(aged, 1 / 24).waits == 1, "the one of yesterday"


def test_keys_and_ids_are_remembered(aged: Scene) -> None:
    prune(aged)
    again = aged.create("1m", "due", handler="nudge", workflow_id="billing", idempotency_key="k")
    assert (again.created, again.wait.status, again.wait.resolution) == (False, "resumed", "due")
    with pytest.raises(IdempotencyKeyConflictError):
        aged.create("2m", "due", handler="nudge", workflow_id="billing", idempotency_key="k")
    assert aged.record(external_id="e1", source="crm").duplicate
    aged.insert_event(external_id="e2", source="crm")
    aged.tick()
    assert count(aged, "events") == [0]


def test_tombstones_are_bounded_where_that_is_asked(aged: Scene) -> None:
    prune(aged)
    assert prune(aged.at(120 * 24 * 60), tombstones=30 * DAY).tombstones == 0
    assert prune(aged.at(131 * 24 * 60), tombstones=30 * DAY).tombstones == 3
    assert not aged.record(external_id="e1", source="crm").duplicate


def test_a_wait_whose_delivery_is_not_through_stays_and_so_does_its_event(scene: Scene, tmp_path: Path) -> None:
    scene.listen(execution="held", handler="nobodys")
    scene.record(external_id="e1")
    date_ids(scene)
    scene.at(100 * 24 * 60)
    assert prune(scene) == Pruned()
    scene.handle(tmp_path, "cat > $OUT", "nobodys")
    scene.tick()
    assert '"email_open"' in (tmp_path / "nobodys.out").read_text()
    assert (prune(scene).waits, count(scene, "events")) == (1, [0])


def test_an_event_that_an_open_wait_has_counted_stays(scene: Scene) -> None:
    wait = scene.listen("email_open", execution="group", timeout=None, count=2)
    scene.record()
    scene.record("page_visit", "nobody")
    date_ids(scene)
    assert prune(scene.at(100 * 24 * 60)).events == 1
    scene.record()
    assert scene.statuses(wait) == "resumed"


def test_an_event_that_nobody_has_correlated_stays(scene: Scene) -> None:
    scene.insert_event()
    scene.on_the_real_clock()
    scene.sql("UPDATE workflow_events SET id = '01900000-0000-7000-8000-000000000001'")
    old = "2024-06-01 00:00:00.000000" if scene.database.is_sqlite else NOON - 700 * DAY
    scene.sql("UPDATE workflow_events SET received_at = :old", old=old)
    assert prune(scene).events == 0
    scene.tick()
    assert prune(scene).events == 1


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_batches_of_any_size_end(aged: Scene, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant, not the code, is made small: a batch is then full."""
    monkeypatch.setattr(retention, "PRUNED_AT_ONCE", size)
    monkeypatch.setattr(retention, "_ROLLED_AT_ONCE", size)
    pruned = prune(aged)
    assert (pruned.waits, pruned.events, pruned.transitions) == (5, 2, 10)
    assert ended(aged) == {"due": 1, "event": 1, "timeout": 1, "cancelled": 1, "manual": 2}


def test_two_never_prune_at_once(postgres_scene: Scene) -> None:
    scene = postgres_scene
    scene.waits.resume_wait(scene.create().wait.id)
    scene.at(100 * 24 * 60)
    upkeep = Upkeep(scene.database, older_than=90 * DAY)

    def meanwhile(connection: Connection) -> None:
        assert rollups.lock_mark(connection, "prune") is not None
        with Database(scene.url, as_of=scene.database.as_of) as other:
            assert Upkeep(other, older_than=90 * DAY).run() == Pruned()

    upkeep.run(lambda: False)
    scene.database.write(meanwhile)
    assert upkeep.run().waits == 1


# -- totals ------------------------------------------------------------------------------------------------------------


def totals(scene: Scene, measure: str) -> list[tuple[Any, ...]]:
    """Rows of (handler, source, outcome, bucket, count, total)."""
    with scene.database.read() as connection:
        return sorted(tuple(row) for row in rollups.totals(connection, measure))


def ended(scene: Scene) -> dict[str, int]:
    return {row[2]: row[4] for row in totals(scene, "ended")}


def test_totals_outlive_what_is_pruned(aged: Scene) -> None:
    Upkeep(aged.database).run()
    counted = {"due": 1, "event": 1, "timeout": 1, "cancelled": 1, "manual": 2}
    assert ended(aged) == counted
    aged.database.write(lambda connection: connection.execute(sa.text("SELECT 1")))
    prune(aged)
    Upkeep(aged.database).run()
    assert ended(aged) == counted, "each is counted once"
    assert totals(aged, "late") == [("", "", "due", 60, 1, 60), ("", "", "timeout", 60, 1, 60)]
    assert totals(aged, "to_event") == [("", "", "event", 0, 1, 0)]
    assert totals(aged, "event") == [("", "crm", "", 0, 2, 0)]
    days = aged.sql(
        "SELECT day, workflow_id, wait_type, step_id, handler, outcome, count FROM waitctl_rollups"
        " WHERE measure = 'ended' AND day LIKE '2%' ORDER BY day, outcome, wait_type"
    )
    assert [tuple(row) for row in days] == [
        ("2026-03-01", "", "fixed_time", "wait", "", "cancelled", 1),
        ("2026-03-01", "billing", "fixed_time", "wait", "nudge", "due", 1),
        ("2026-03-01", "", "for_event", "wait", "nudge", "event", 1),
        ("2026-03-01", "", "fixed_time", "wait", "nudge", "manual", 1),
        ("2026-03-01", "", "for_event", "wait", "", "timeout", 1),
        ("2026-06-08", "", "fixed_time", "wait", "", "manual", 1),
    ]


def test_what_is_in_no_total_yet_is_counted_where_it_stands(scene: Scene) -> None:
    with scene.on_the_real_clock().database.read() as connection:
        now = scene.database.clock(connection)
    scene.waits.create_fixed_time_wait("1h", WaitSpec("late"), base=now - timedelta(hours=3))
    scene.waits.create_event_wait(EventQuery(("email_open",)), WaitSpec("event", contact_id="ada"))
    scene.record()
    scene.tick()
    with scene.database.read() as connection:
        since = rollups.mark_at(connection, "waits")
        found = rollups.not_yet(connection, since)
        events = rollups.events_not_yet(connection, first_id_of(rollups.mark_at(connection, "events")))
    assert sorted((row[0], row[1], row[3]) for row in map(list, found)) == [
        *(("ended", "due", 1), ("ended", "event", 1), ("late", "due", 1))
    ]
    assert events == {"cli": 1}
    assert ended(scene) == {}, "they are too fresh"
    assert prune(scene, 1e-9).waits == 0, "what is not counted does not go"


def test_what_ticks_count_themselves_is_added(scene: Scene) -> None:
    row = Rollup("", "attempt", 50, 2, 70, handler="nudge", outcome="delivered")
    for _ in range(2):
        scene.database.write(lambda connection: rollups.add(connection, [row]))
    assert totals(scene, "attempt") == [("nudge", "", "delivered", 50, 4, 140)]
    scene.database.write(lambda connection: rollups.add(connection, []))


def test_a_tick_keeps_the_database_small(aged: Scene) -> None:
    settings = Settings(aged.url, handlers=aged.handlers)
    assert Tick(aged.database, settings).run().pruned == 0
    report = Tick(aged.database, Settings(aged.url, handlers=aged.handlers, retention=90 * DAY)).run()
    assert (report.pruned, report.did_nothing) == (7, True)
    assert count(aged, "waits", "events") == [3, 0]


def test_upkeep_stops_when_it_may_not_go_on(aged: Scene) -> None:
    upkeep = Upkeep(aged.database, older_than=90 * DAY)
    assert upkeep.run_beside(0, lambda: False) == Pruned()
    assert count(aged, "waits") == [8]
    assert upkeep.run_beside(0, lambda: True).waits == 5


def test_a_replayed_batch_deletes_nothing_twice(aged: Scene) -> None:
    def twice(connection: Connection) -> list[int]:
        now = aged.database.clock(connection)
        found = pruning.claim_ended(connection, before=now - 90 * DAY, after=NOON - DAY, limit=10)
        return [pruning.delete_waits(connection, found, now=now)["waits"] for _ in range(2)]

    assert aged.database.write(twice) == [5, 0]


def test_ids_and_instants() -> None:
    identifier = new_id()
    at = instant_of_id(identifier)
    assert first_id_of(at) <= identifier < first_id_of(at + MINUTE)
    assert instant_of_id(first_id_of(NOON)) == NOON


def test_buckets() -> None:
    assert [bucket_of(value, SECONDS) for value in (0, 1, 4, 61, 10**9)] == [0, 1, 5, 120, BEYOND]
    assert list(SECONDS) == sorted(SECONDS) and list(HANDLER_MILLISECONDS) == sorted(HANDLER_MILLISECONDS)
    counts = {5: 1, 0: 2, BEYOND: 1}
    assert cumulative(counts, (1, 5)) == [(0, 2), (1, 2), (5, 3)]


def size(scene: Scene) -> int:
    """Pages of the tables, once what is gone has been cleared away."""
    if scene.database.is_sqlite:
        return int(scene.sql("PRAGMA page_count")[0][0])
    with psycopg.connect(scene.url, autocommit=True) as connection:
        connection.execute("VACUUM")
    names = ", ".join(f"'{name}'" for name in TABLES.values())
    (row,) = scene.sql(f"SELECT sum(pg_total_relation_size(oid)) / 8192 FROM pg_class WHERE relname IN ({names})")
    return int(row[0])


def test_the_database_stays_as_small_as_what_is_kept(scene: Scene, tmp_path: Path) -> None:
    """Rounds of a day each, of which two are kept: the most that is needed does not grow over the last half.

    PostgreSQL gives pages at a table's end back now and then, so that the least says nothing.
    """
    scene.handle(tmp_path, "true")
    settings = Settings(scene.url, handlers=scene.handlers, retention=2 * DAY)
    sizes = []
    for day in range(12):
        scene.at(day * 24 * 60)
        for number in range(60):
            scene.create("1m", f"{day}-{number}", context={"filler": "x" * 300})
        Tick(scene.at(day * 24 * 60 + 2).database, settings).run()
        sizes.append(size(scene))
    assert max(sizes[9:]) <= 1.1 * max(sizes[6:9]), sizes
    assert count(scene, "waits")[0] <= 3 * 60


def test_a_key_is_not_lost_while_its_wait_is_pruned(postgres_scene: Scene) -> None:
    """The wait goes right after a create's first look: at the wait, or else at what is left of it."""
    scene = postgres_scene
    scene.waits.resume_wait(scene.create(idempotency_key="k").wait.id)
    scene.at(100 * 24 * 60)
    gone: list[int] = []

    def prune_behind_it(said: Said) -> None:
        if not gone and re.search(r"FROM (waitctl_tombstones|workflow_wait_executions)\b", said.text):
            gone.append(0)
            with Database(scene.url, as_of=scene.database.as_of) as other:
                gone[0] = Upkeep(other, older_than=90 * DAY).run().waits

    WATCHERS.append(prune_behind_it)
    try:
        again = scene.create(idempotency_key="k")
    finally:
        WATCHERS.remove(prune_behind_it)
    assert gone == [1]
    assert (again.created, again.wait.status) == (False, "resumed")
    assert not scene.create(idempotency_key="k").created


@pytest.mark.parametrize("more", [[], ["other"]], ids=["all new", "among others that are there"])
def test_a_key_of_many_is_not_lost_while_its_wait_is_pruned(postgres_scene: Scene, more: list[str]) -> None:
    """The wait goes between the look for what is left of such and the insert; whether they are taken for new or not."""
    scene = postgres_scene
    requests = [WaitRequest(FixedTime(Duration(1)), WaitSpec(key, idempotency_key=key)) for key in ["k", *more]]
    scene.waits.create_waits(requests)
    scene.waits.resume_wait(scene.waits.create_fixed_time_wait("1d", requests[0].spec).wait.id)
    scene.at(100 * 24 * 60)
    gone: list[int] = []

    def prune_before(said: Said) -> None:
        if not gone and said.name == "find_pruned_keys":
            gone.append(0)
            with Database(scene.url, as_of=scene.database.as_of) as other:
                gone[0] = Upkeep(other, older_than=90 * DAY).run().waits

    WATCHERS.append(prune_before)
    try:
        totals = scene.waits.create_waits(requests)
    finally:
        WATCHERS.remove(prune_before)
    assert gone == [1]
    assert (totals.created, totals.existing) == (0, len(requests))


def test_a_file_gives_room_back(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    assert scene.sql("PRAGMA auto_vacuum")[0][0] == 2
    many = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 4000) SELECT zeroblob(4000) FROM c"
    scene.sql("CREATE TABLE filler (page BLOB)")
    scene.sql(f"INSERT INTO filler {many}")
    scene.sql("DROP TABLE filler")
    before = size(scene)
    prune(scene)
    assert before > 4000 and size(scene) <= before - 2500
    assert 900 <= scene.sql("PRAGMA freelist_count")[0][0] <= 1100, "what new waits will need stays"
