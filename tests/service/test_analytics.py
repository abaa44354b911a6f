"""What became of waits, held to a count of the rows: in no total yet, in the totals, beside ticks, and once pruned."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.scene import NOON, Scene
from waitctl import Database, Settings, WaitStepExecution
from waitctl.application import retention
from waitctl.application.operations.analytics import Analysis, analyse
from waitctl.application.operations.bulk import BulkService
from waitctl.application.operations.metrics import metrics_text
from waitctl.application.retention import Upkeep
from waitctl.domain.analytics import Dimension
from waitctl.domain.deliveries import Delivery
from waitctl.domain.errors import InvalidWaitConfigurationError, InvalidWaitDateError
from waitctl.domain.filters import WaitFilter, When
from waitctl.domain.histograms import BEYOND, SECONDS, bucket_of, quantile
from waitctl.domain.plans import PlanKind
from waitctl.domain.statuses import Outcome, Resolution, WaitExecutionStatus, WaitType
from waitctl.domain.text import JsonObject

DAY = timedelta(days=1)
DAYS = 24 * 60


class Ledger:
    """Every wait that has ended, and the deliveries, as the rows were when they were last there."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.waits: dict[str, WaitStepExecution] = {}
        self.deliveries: dict[str, Delivery] = {}

    def look(self) -> None:
        found, _ = self.scene.waits.list_waits(limit=100_000)
        for each in found:
            self.waits.pop(each.wait.id, None)  # it may be open again
        self.waits |= {each.wait.id: each.wait for each in found if not each.wait.status.is_open}
        self.deliveries |= {each.id: each for each in self.scene.deliveries.list_deliveries(limit=100_000)}

    def groups(self, by: Dimension | None, wanted: Callable[[WaitStepExecution], bool]) -> dict[str, JsonObject]:
        """The documents that are to be expected, by group."""
        found: dict[str, Counted] = {}
        for wait in filter(wanted, self.waits.values()):
            found.setdefault(_name(wait, by, _heard_by(wait)), Counted()).add(wait)
        for each in self.deliveries.values():
            if each.attempt and wanted(wait := self.waits[each.wait_id]):
                found[_name(wait, by, each.handler)].add_delivery(each)
        return {name: counted.to_json() for name, counted in found.items()}


class Counted:
    """A group, counted the long way."""

    def __init__(self) -> None:
        self.outcomes = Counter[str](dict.fromkeys(("resumed", "timeout", "cancelled", "error"), 0))
        self.resolutions = Counter[str](dict.fromkeys(map(str, Resolution), 0))
        self.late: list[int] = []
        self.to_event: list[int] = []
        self.delivered = self.failed = 0

    def add(self, wait: WaitStepExecution) -> None:
        assert wait.resolution is not None and wait.resolved_at is not None
        self.outcomes[wait.status] += 1
        self.resolutions[wait.resolution] += 1
        if wait.resolution in {Resolution.DUE, Resolution.TIMEOUT} and wait.late_seconds is not None:
            self.late.append(wait.late_seconds)
        if wait.resolution is Resolution.EVENT:
            self.to_event.append(int((wait.resolved_at - wait.created_at).total_seconds()))

    def add_delivery(self, delivery: Delivery) -> None:
        taken = delivery.status == "delivered"
        self.delivered += taken
        self.failed += delivery.attempt - taken

    def to_json(self) -> JsonObject:
        return {
            "waits": self.outcomes.total(),
            "outcomes": dict(self.outcomes),
            "resolutions": dict(self.resolutions),
            "time_to_event": _histogram(self.to_event),
            "lateness": _histogram(self.late),
            "attempts": {"delivered": self.delivered, "failed": self.failed},
        }


def _histogram(values: list[int]) -> JsonObject:
    counts = Counter(bucket_of(value, SECONDS) for value in values)
    return {
        "count": len(values),
        "mean": round(sum(values) / len(values), 1) if values else None,
        "histogram": [{"le": bound, "count": counts[bound]} for bound in sorted(counts)],
    }


def _heard_by(wait: WaitStepExecution) -> str:
    assert wait.resolution is not None
    return (wait.handlers or {}).get(wait.resolution.value) or wait.handler or ""


def _name(wait: WaitStepExecution, by: Dimension | None, handler: str) -> str:
    match by:
        case None:
            return ""
        case Dimension.WORKFLOW:
            return wait.workflow_id or ""
        case Dimension.TYPE:
            return wait.wait_type.value
        case Dimension.STEP:
            return wait.step_id
        case Dimension.HANDLER:
            return handler


def told(found: Analysis) -> dict[str, JsonObject]:
    """What an analysis says of each group, as far as `Counted` does; a group by its name."""
    document = found.to_json()
    pairs = [(row.pop(found.by.value) or "", row) for row in document["groups"]] if found.by else []
    if found.by is None and document["total"]["waits"]:
        pairs = [("", document["total"])]
    for _, row in pairs:
        row.pop("event_share")
        for name in ("time_to_event", "lateness"):
            row[name] = {key: row[name][key] for key in ("count", "mean", "histogram")}
        row["attempts"] = {key: row["attempts"][key] for key in ("delivered", "failed")}
    return dict(pairs)


def check(ledger: Ledger, *, since: datetime | None = None, **wanted: Any) -> None:
    """Hold every way to tell waits apart to the ledger."""

    def is_wanted(wait: WaitStepExecution) -> bool:
        assert wait.resolved_at is not None
        return (
            (since is None or wait.resolved_at >= since)
            and wait.workflow_id == wanted.get("workflow_id", wait.workflow_id)
            and wait.step_id == wanted.get("step_id", wait.step_id)
            and wait.contact_id == wanted.get("contact_id", wait.contact_id)
            and wait.wait_type in wanted.get("wait_types", WaitType)
        )

    for by in (None, *Dimension):
        found = told(analyse(ledger.scene.database, WaitFilter(**wanted), by=by, since=since))
        expected = ledger.groups(by, is_wanted)
        if since is not None:  # attempts are of the day on which they were made, by the real clock
            found = {name: group for name, group in found.items() if group["waits"]}
            for group in (*found.values(), *expected.values()):
                del group["attempts"]
        assert found == expected, (by, wanted)


@pytest.fixture
def busy(scene: Scene, tmp_path: Path) -> Scene:
    """With handlers: one that takes everything, one that refuses everything once and for all."""
    scene.handle(tmp_path, "true")
    scene.handle(tmp_path, "exit 65", "broken")
    return scene


def end_some(scene: Scene, chance: random.Random, day: int, name: str = "") -> None:
    """Waits of every type that end in every way, late and not, and are delivered or not; and a tick."""
    start = day * DAYS
    for number in range(chance.randint(4, 8)):
        execution = f"{name}{day}-{number}"
        options: dict[str, Any] = {
            "workflow_id": chance.choice([None, "billing", "sign-up"]),
            "step_id": chance.choice(["first", "second"]),
            "handler": chance.choice([None, "nudge", "nudge", "broken"]),
            "contact_id": chance.choice(["ada", "bob"]),
        }
        scene.at(start)
        match chance.choice(["due", "due", "event", "timeout", "cancelled", "manual", "open", "routed"]):
            case "due":
                scene.create("1m", execution, **options)
            case "event":
                wait = scene.listen(execution=execution, contact=options.pop("contact_id"), **options)
                scene.at(start + chance.choice([0.1, 3, 50]))
                scene.record(contact=wait.contact_id or "")
            case "timeout":
                scene.listen("sms_reply", execution=execution, timeout="1m", **options)
            case "cancelled":
                scene.waits.cancel_wait(scene.create(execution=execution, **options).wait.id)
            case "manual":
                scene.waits.resume_wait(scene.create(execution=execution, **options).wait.id)
            case "open":
                scene.create("3000d", execution, **options)
            case _:
                scene.create(
                    "1m", execution, **options | {"handlers": {Outcome.DUE: "nudge", Outcome.MANUAL: "broken"}}
                )
    scene.at(start + 60 + chance.choice([0, 10, 600]))
    for phases in ({"due", "expired"}, {"deliver"}):  # without upkeep, which goes by the real clock
        scene.tick(only=frozenset(phases))


@pytest.mark.parametrize("seed", range(3))
def test_totals_say_what_the_rows_did(busy: Scene, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has been counted, and whatever has been pruned, wherever a batch ends."""
    chance = random.Random(seed)
    ledger = Ledger(busy)
    for week in range(6):
        end_some(busy, chance, 9 * week)
    ledger.look()
    check(ledger)
    for _ in range(6):
        monkeypatch.setattr(retention, "_ROLLED_AT_ONCE", chance.choice([1, 3, 5000]))
        monkeypatch.setattr(retention, "PRUNED_AT_ONCE", chance.choice([1, 3, 1000]))
        age = chance.choice([None, DAY, 3 * DAY])
        steps = iter([True] * chance.randint(0, 12))
        Upkeep(busy.database, older_than=age).run(partial(next, steps, False))
        check(ledger)
    for days in (0, 9, 10, 27, 31):  # the totals have days, and months
        check(ledger, since=NOON.replace(hour=0) + days * DAY)
    check(ledger, workflow_id="billing")
    check(ledger, step_id="first", wait_types=(WaitType.FOR_EVENT,))
    Upkeep(busy.at(100 * DAYS).database, older_than=DAY).run()
    assert busy.sql("SELECT count(*) FROM workflow_wait_executions WHERE resolved_at IS NOT NULL")[0][0] == 0
    check(ledger)


def keep_up_a_little(scene: Scene, chance: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a mark stands, and a prune ends, anywhere."""
    monkeypatch.setattr(retention, "_ROLLED_AT_ONCE", chance.choice([1, 3, 5000]))
    monkeypatch.setattr(retention, "PRUNED_AT_ONCE", chance.choice([1, 3, 1000]))
    steps = iter([True] * chance.randint(0, 12))
    Upkeep(scene.database, older_than=chance.choice([None, DAY, 3 * DAY])).run(partial(next, steps, False))


def endings(scene: Scene) -> dict[str, float]:
    """The counter of Prometheus."""
    text = metrics_text(Settings(scene.url), scene.database)
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {each.labels["resolution"]: each.value for each in found if each.name == "waitctl_resolved_total"}


@pytest.mark.parametrize("seed", range(5))
def test_whenever_a_wait_ends_it_is_counted_once(busy: Scene, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks that jump, marks that are past what they say, prunes between; cancelled in bulk, undone, ended again."""
    chance = random.Random(seed)
    ledger, bulk = Ledger(busy), BulkService(busy.database)
    undone = 0
    for turn in range(10):
        end_some(busy, chance, chance.choice(range(0, 90, 9)), f"{turn}/")
        ledger.look()
        keep_up_a_little(busy, chance, monkeypatch)
        check(ledger)
        wanted = WaitFilter(contact_id=chance.choice(["ada", "bob"]))
        plan = bulk.apply(bulk.plan(PlanKind.CANCEL, wanted).id)
        ledger.look()
        check(ledger)
        keep_up_a_little(busy, chance, monkeypatch)
        if plan.applied and chance.random() < 0.6:
            before = endings(busy)
            undone += bulk.undo(plan.id).undone
            ledger.look()
            assert endings(busy) == before, "a counter never falls"
            check(ledger)
            keep_up_a_little(busy, chance, monkeypatch)
            check(ledger)
    resolved = Counter(str(wait.resolution) for wait in ledger.waits.values())
    resolved["cancelled"] += undone
    assert endings(busy) == {each: resolved[each] for each in Resolution}
    Upkeep(busy.at(300 * DAYS).database, older_than=DAY).run()
    assert busy.sql("SELECT count(*) FROM waitctl_uncounted")[0][0] == 0
    check(ledger)
    for name in ("ended", "late"):
        assert busy.sql(f"SELECT count(*) FROM waitctl_rollups WHERE measure = '{name}' AND count < 0")[0][0] == 0


def test_other_filters_go_to_the_rows(busy: Scene) -> None:
    ledger = Ledger(busy)
    for day in range(3):
        end_some(busy, random.Random(day), day)
    ledger.look()
    check(ledger, contact_id="ada")
    check(ledger, contact_id="bob", since=NOON.replace(hour=0) + DAY)
    first = next(iter(ledger.waits.values()))
    found = analyse(busy.database, WaitFilter(execution_id=first.workflow_execution_id))
    assert (found.everything.waits, found.is_whole) == (1, False)
    in_error = analyse(busy.database, WaitFilter(statuses=(WaitExecutionStatus.ERROR,)))
    assert in_error.everything.waits == in_error.everything.outcomes[WaitExecutionStatus.ERROR] > 0
    Upkeep(busy.at(100 * DAYS).database, older_than=DAY).run()
    assert analyse(busy.database, WaitFilter(contact_id="ada")).everything.waits == 0, "they are gone, and so it says"


@pytest.mark.parametrize(
    ("wanted", "option"),
    [
        (WaitFilter(overdue=True), "--overdue"),
        (WaitFilter(due_before=DAY), "--due-before"),
        (WaitFilter(due_after=NOON), "--due-after"),
        (WaitFilter(statuses=(WaitExecutionStatus.TIMEOUT, WaitExecutionStatus.WAITING)), "--status waiting"),
    ],
)
def test_what_only_an_open_wait_can_be_is_refused(scene: Scene, wanted: WaitFilter, option: str) -> None:
    with pytest.raises(InvalidWaitConfigurationError, match=f"^{option} means open waits"):
        analyse(scene.database, wanted)


@pytest.mark.parametrize(
    ("since", "day"), [(NOON, "2026-03-01"), (-DAY, "2026-02-28"), (timedelta(), "2026-03-01"), (None, None)]
)
def test_days_are_whole(scene: Scene, since: When | None, day: str | None) -> None:
    found = analyse(scene.database, WaitFilter(), since=since)
    assert (found.to_json()["since"] or "")[:10] == (day or "")
    assert found.to_json()["total"]["waits"] == 0


@pytest.mark.parametrize("days", [400_000, 4_000_000])
def test_a_span_that_leaves_the_years_is_refused(scene: Scene, days: int) -> None:
    with pytest.raises(InvalidWaitDateError):
        analyse(scene.database, WaitFilter(), since=-days * DAY)


def test_a_delivery_that_is_retried_or_dropped(busy: Scene, tmp_path: Path) -> None:
    """A dead one makes an error; taken at last it makes none, dropped it stays one; the prune changes neither."""
    for execution in ("retried", "dropped"):
        busy.create("1m", execution, handler="broken")
    busy.at(2).tick()
    assert analyse(busy.database, WaitFilter()).everything.outcomes[WaitExecutionStatus.ERROR] == 2
    retried, dropped = busy.deliveries.list_deliveries()
    busy.deliveries.drop(dropped.id)
    busy.handle(tmp_path, "true", "broken")
    busy.deliveries.retry(retried.id)
    busy.tick()
    before = analyse(busy.database, WaitFilter(), by=Dimension.HANDLER)
    assert before.everything.outcomes[WaitExecutionStatus.ERROR] == 1
    assert Upkeep(busy.at(100 * DAYS).database, older_than=DAY).run().waits == 2
    assert told(analyse(busy.database, WaitFilter(), by=Dimension.HANDLER)) == told(before)


# -- beside others -----------------------------------------------------------------------------------------------------


def test_each_wait_is_counted_once_beside_ticks_and_prunes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three at upkeep at once, while somebody asks: every answer is the same."""
    monkeypatch.setattr(retention, "_ROLLED_AT_ONCE", 7)
    monkeypatch.setattr(retention, "PRUNED_AT_ONCE", 5)
    for number in range(60):
        scene.create(f"{number % 9 + 1}m", f"e{number}", workflow_id=f"w{number % 3}")
    scene.at(20).tick(only=frozenset({"due"}))
    expected = told(analyse(scene.database, WaitFilter(), by=Dimension.WORKFLOW))
    assert sum(group["waits"] for group in expected.values()) == 60

    def keep_up() -> None:
        with Database(scene.url, as_of=NOON + 100 * DAY) as database:
            for _ in range(5):
                Upkeep(database, older_than=DAY).run()

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(keep_up) for _ in range(3)]
        asked = 0
        while not (asked and all(each.done() for each in working)):
            assert told(analyse(scene.database, WaitFilter(), by=Dimension.WORKFLOW)) == expected
            asked += 1
        for each in working:
            each.result()
    assert scene.sql("SELECT count(*) FROM workflow_wait_executions")[0][0] == 0
    assert told(analyse(scene.database, WaitFilter(), by=Dimension.WORKFLOW)) == expected


def test_a_clock_in_the_past_and_undone_plans_beside_upkeep(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """While others move the mark past it, each ending is in the totals or beside them, and one that is undone in none."""
    monkeypatch.setattr(retention, "_ROLLED_AT_ONCE", 3)
    ledger, bulk = Ledger(scene), BulkService(scene.database)

    def keep_up() -> None:
        with Database(scene.url, as_of=NOON) as database:  # plans are kept
            for _ in range(3):
                Upkeep(database).run()

    with ThreadPoolExecutor(2) as pool:
        for turn in range(20):
            scene.at(turn % 7 * DAYS)
            for number in range(4):
                scene.create("3000d", f"{turn}/{number}", workflow_id=f"w{number}")
            working = [pool.submit(keep_up) for _ in range(2)]
            plan = bulk.apply(bulk.plan(PlanKind.CANCEL, WaitFilter(workflow_id=f"w{turn % 4}")).id)
            if turn % 3:
                bulk.undo(plan.id)
            for each in working:
                each.result()
            ledger.look()
            check(ledger)
    Upkeep(scene.database).run()
    check(ledger)


# -- what is read off --------------------------------------------------------------------------------------------------


def _exact(values: list[int], share: float) -> int:
    """By the nearest rank."""
    return sorted(values)[max(0, ceil(len(values) * share) - 1)]


@pytest.mark.parametrize("seed", range(20))
def test_a_percentile_lies_in_the_bucket_of_the_exact_one(seed: int) -> None:
    chance = random.Random(seed)
    values = [int(chance.expovariate(1 / chance.choice([1, 60, 90_000]))) for _ in range(chance.randint(1, 300))]
    counts = Counter(bucket_of(value, SECONDS) for value in values)
    for share in (0.5, 0.9, 0.99):
        found = quantile(counts, share)
        bound = bucket_of(_exact(values, share), SECONDS)
        below = max((each for each in SECONDS if each < bound), default=0)
        assert found is not None and below <= found <= bound, (share, found, bound)


def test_percentiles_at_the_ends() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({0: 3}, 0.99) == 0.0
    assert quantile({BEYOND: 1}, 0.5) == SECONDS[-1]
