"""Metrics as prometheus_client's own parser reads them; counters go on when what they counted is pruned."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.scene import NOON, Scene
from waitctl import Database, EventService, Settings, Tick, TickOptions
from waitctl.application import retention
from waitctl.application.operations.metrics import metrics_text, write_textfile
from waitctl.application.processor.run import Phase
from waitctl.application.retention import Upkeep
from waitctl.domain.errors import InvalidSettingError
from waitctl.domain.events import Event
from waitctl.infrastructure.database import host_clock
from waitctl.infrastructure.ids import first_id_at


def samples(scene: Scene) -> dict[str, float]:
    """Every sample by its name and labels, as Prometheus writes them."""
    text = metrics_text(Settings(scene.url, handlers=scene.handlers), scene.database)
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("waitctl_") and family.documentation.endswith("."), family
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def test_an_empty_database(scene: Scene) -> None:
    found = samples(scene)
    assert found["waitctl_oldest_due_age_seconds"] == 0
    assert found["waitctl_last_tick_age_seconds"] == float("inf")
    assert found["waitctl_waits{status=waiting}"] == found["waitctl_waits{status=scheduled}"] == 0
    assert found["waitctl_resolved_total{resolution=due}"] == 0
    assert found["waitctl_lateness_seconds_bucket{le=+Inf}"] == 0


def test_everything_is_counted_once_before_and_after_it_is_pruned(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "true")
    scene.handle(tmp_path, "exit 1", "flaky", max_attempts=3)
    scene.create("1m", "due", handler="nudge")
    scene.create("1m", "fails", handler="flaky")
    scene.listen(execution="by event")
    scene.waits.cancel_wait(scene.create(execution="cancelled").wait.id)
    scene.create("5d", "open")
    scene.listen("sms_reply", execution="listens", timeout="90m")
    scene.record(source="crm", external_id="1")
    scene.at(2).tick()
    scene.at(60)
    first = samples(scene)
    assert first["waitctl_waits{status=scheduled}"] == first["waitctl_waits{status=waiting}"] == 1
    assert first["waitctl_listeners{state=expiring_1h}"] == 1
    assert first["waitctl_deliveries{handler=flaky,status=pending}"] == 1
    counters = {
        "waitctl_resolved_total{resolution=due}": 2,
        "waitctl_resolved_total{resolution=event}": 1,
        "waitctl_resolved_total{resolution=cancelled}": 1,
        "waitctl_resolved_total{resolution=timeout}": 0,
        "waitctl_events_total{source=crm}": 1,
        "waitctl_lateness_seconds_count": 2,
        "waitctl_lateness_seconds_sum": 120,
        "waitctl_lateness_seconds_bucket{le=45.0}": 0,
        "waitctl_lateness_seconds_bucket{le=60.0}": 2,
        "waitctl_delivery_attempts_total{handler=nudge,result=delivered}": 1,
        "waitctl_delivery_attempts_total{handler=flaky,result=failed}": 1,
        "waitctl_handler_seconds_count{handler=nudge}": 1,
    }
    late = {name: value for name, value in counters.items() if "le=45.0" not in name}
    assert {name: first.get(name) for name in late} == late
    assert 0 < first["waitctl_handler_seconds_sum{handler=nudge}"] < 20
    scene.handlers.clear()
    Upkeep(scene.at(200 * 24 * 60).database, older_than=timedelta(days=90)).run()
    assert scene.sql("SELECT count(*) FROM workflow_wait_executions")[0][0] == 3, "two are open, one is not through"
    after = samples(scene)
    assert {name: after.get(name) for name in late} == late
    assert after["waitctl_oldest_due_age_seconds"] > 0
    assert after["waitctl_deliveries_held"] == 1


def test_what_is_late(scene: Scene) -> None:
    scene.create("1h")
    scene.listen(timeout="2h", execution="listens")
    found = samples(scene.at(123))
    assert (found["waitctl_oldest_due_age_seconds"], found["waitctl_overdue"]) == (63 * 60, 2)
    assert found["waitctl_listeners{state=expired_unswept}"] == 1
    scene.tick()
    assert samples(scene)["waitctl_oldest_due_age_seconds"] == 0
    assert samples(scene)["waitctl_last_tick_age_seconds"] < 60


def test_a_textfile_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "waitctl.prom"
    for text in ("first\n", "second\n"):
        write_textfile(path, text)
        assert path.read_text() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o644, "the exporter is another user"
    assert [each.name for each in tmp_path.iterdir()] == ["waitctl.prom"]
    for nowhere in (tmp_path / "none" / "waitctl.prom", tmp_path):
        with pytest.raises(InvalidSettingError, match="cannot write"):
            write_textfile(nowhere, "third\n")
    assert [each.name for each in tmp_path.iterdir()] == ["waitctl.prom"]


def test_no_counter_goes_back_beside_ticks_and_prunes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter that falls looks like a new one, and every rate goes wrong. Three tick and prune, one looks on."""
    monkeypatch.setattr(retention, "_ROLLED_AT_ONCE", 7)
    monkeypatch.setattr(retention, "PRUNED_AT_ONCE", 5)
    for number in range(60):
        scene.create(f"{number % 9 + 1}m", f"e{number}")
        scene.record("page_visit", f"contact-{number}", source=f"s{number % 2}")
    scene.at(10)

    def keep_up() -> None:
        with Database(scene.url, as_of=NOON + timedelta(minutes=20)) as database:
            Tick(database, Settings(scene.url), TickOptions(only=frozenset({Phase.DUE}), batch_size=3)).run()
        with Database(scene.url, as_of=NOON + timedelta(days=100)) as database:
            for _ in range(3):
                Upkeep(database, older_than=timedelta(days=1)).run()

    seen: dict[str, float] = {}
    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(keep_up) for _ in range(3)]
        while True:
            is_last = all(each.done() for each in working)
            found = {name: value for name, value in samples(scene).items() if "_total" in name or "_bucket" in name}
            fallen = {name for name, value in seen.items() if found.get(name, 0) < value}
            assert not fallen, {name: (seen[name], found.get(name)) for name in fallen}
            seen = found
            if is_last:
                break
        for each in working:
            each.result()
    assert seen["waitctl_resolved_total{resolution=due}"] == 60
    assert seen["waitctl_events_total{source=s0}"] == seen["waitctl_events_total{source=s1}"] == 30


def test_events_of_a_slow_clock_are_counted_once(scene: Scene) -> None:
    """Their ids are from before the mark of the totals. So are those of a stream that waited long for its turn."""
    with Database(scene.url) as database:
        events = EventService(database)

        def arrive(minutes_ago: int) -> None:
            at = host_clock() - timedelta(minutes=minutes_ago)
            event = Event(first_id_at(at), "page_visit", "ada", {}, "crm", None, None)
            database.write(lambda connection: events.store(connection, [event]))

        def counted() -> float:
            return samples(scene)["waitctl_events_total{source=crm}"]

        arrive(10)
        Upkeep(database).run()  # moves the mark to two minutes ago
        for came, minutes_ago in enumerate((20, 1, 30, 0), 2):
            arrive(minutes_ago)
            assert counted() == came
            Upkeep(database).run()
            assert counted() == came


def test_labels_are_escaped(scene: Scene) -> None:
    scene.waits.resume_wait(scene.create(handler='odd "name"\\').wait.id)
    assert samples(scene)['waitctl_deliveries{handler=odd "name"\\,status=pending}'] == 1
