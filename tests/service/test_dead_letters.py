"""What follows when a delivery dies: who is told, and what becomes of handlers that no host knows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.scene import Scene
from waitctl import Database, Settings, Tick, TickReport
from waitctl.application.deliveries import outbox
from waitctl.domain.deliveries import Delivery
from waitctl.domain.errors import TooManyDeliveriesError
from waitctl.domain.handlers import PythonConfig

DAY = 24 * 60


def tick(scene: Scene, **settings: Any) -> TickReport:
    return Tick(scene.database, Settings(scene.url, handlers=scene.handlers, **settings)).run()


def due(scene: Scene, handler: str = "dies", execution: str = "e", **spec: Any) -> str:
    wait = scene.create(execution=execution, handler=handler, **spec).wait
    scene.waits.resume_wait(wait.id)
    return wait.id


def deliveries(scene: Scene, wait_id: str) -> dict[str, Delivery]:
    return {each.handler: each for each in scene.get(wait_id).deliveries}


def test_on_dead_is_told_what_died(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "echo no good; exit 65", name="dies")
    out = scene.handle(tmp_path, "cat >> $OUT", name="notices")
    wait_id = due(scene)
    report = tick(scene, on_dead="notices")
    assert (report.dead, report.delivered) == (1, 1)
    found, notice = deliveries(scene, wait_id), json.loads(out.read_text())
    assert notice["delivery_id"] == found["notices"].id
    assert notice["dead"]["delivery_id"] == found["dies"].id == found["notices"].dead_delivery_id
    assert (notice["dead"]["last_error"], notice["outcome"]) == ("exit status 65: no good", "manual")
    assert (notice["wait"]["id"], notice["wait"]["status"]) == (wait_id, "error")


def test_a_handlers_own_on_dead_comes_first(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "exit 65", name="dies")
    scene.handlers["dies"] = replace(scene.handlers["dies"], on_dead="mine")
    wait_id = due(scene)
    tick(scene, on_dead="everybodys")
    assert set(deliveries(scene, wait_id)) == {"dies", "mine"}


def test_a_letter_that_dies_is_the_end_of_it(scene: Scene, tmp_path: Path) -> None:
    """No notice of a notice; and the wait is no longer in error once its own delivery was retried."""
    scene.handle(tmp_path, 'test -e "$OUT.fixed" || exit 65', name="dies")
    scene.handle(tmp_path, "exit 65", name="notices")
    wait_id = due(scene)
    assert tick(scene, on_dead="notices").dead == 2
    assert tick(scene, on_dead="notices").dead == 0
    assert set(deliveries(scene, wait_id)) == {"dies", "notices"}
    Path(f"{tmp_path / 'dies.out'}.fixed").touch()
    scene.deliveries.retry(deliveries(scene, wait_id)["dies"].id)
    assert scene.get(wait_id).status == "resumed"
    tick(scene, on_dead="notices")
    assert scene.get(wait_id).status == "resumed"


def test_one_that_dies_again_is_told_of_again(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "exit 65", name="dies")
    out = scene.handle(tmp_path, "echo told >> $OUT", name="notices")
    due(scene)
    tick(scene, on_dead="notices")
    assert len(scene.deliveries.retry_dead()) == 1
    tick(scene, on_dead="notices")
    assert out.read_text() == "told\n" * 2


def test_who_never_came_back_is_told_of(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "true", name="dies", max_attempts=1)
    wait_id = due(scene)
    scene.sql(
        "UPDATE workflow_wait_deliveries SET status = 'running', attempt = 1, max_attempts = 1, lease_expires_at = :at",
        at="2026-03-01 12:05:00.000000" + ("" if scene.database.is_sqlite else "+00"),
    )
    scene.at(5)
    assert tick(scene, on_dead="notices").dead == 1
    assert set(deliveries(scene, wait_id)) == {"dies", "notices"}


def test_retried_by_handler_and_by_workflow(scene: Scene, tmp_path: Path) -> None:
    for name in ("dies", "fails"):
        scene.handle(tmp_path, "exit 65", name=name)
    ids = {
        (handler, workflow): due(scene, handler, f"{handler}-{workflow}", workflow_id=workflow)
        for handler in ("dies", "fails")
        for workflow in ("signup", "billing")
    }
    assert scene.tick().dead == 4
    assert len(scene.deliveries.list_deliveries(handler="dies")) == 2
    retried = scene.deliveries.retry_dead(handler="dies", workflow_id="signup")
    assert [each.wait_id for each in retried] == [ids["dies", "signup"]]
    assert {each.wait_id for each in scene.deliveries.retry_dead(workflow_id="billing")} == {
        ids["dies", "billing"],
        ids["fails", "billing"],
    }
    assert len(scene.deliveries.retry_dead()) == 1


@pytest.mark.parametrize("batch", [1, 3, 4, 5])
def test_many_are_retried_batch_by_batch(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """None of them where there are more than may be retried."""
    scene.handle(tmp_path, "exit 65", name="dies")
    ids = [due(scene, "dies", f"e{number}") for number in range(4)]
    assert scene.tick().dead == 4
    monkeypatch.setattr(outbox, "_BATCH", batch)
    with pytest.raises(TooManyDeliveriesError, match="4 deliveries are dead, and no more than 3"):
        scene.deliveries.retry_dead(cap=3)
    assert {scene.get(each).status for each in ids} == {"error"}
    retried = scene.deliveries.retry_dead(cap=4)
    assert sorted(each.wait_id for each in retried) == sorted(ids)
    assert {each.status for each in retried} == {"pending"}
    assert {scene.get(each).status for each in ids} == {"resumed"}


# -- handlers that no host knows ---------------------------------------------------------------------------------------


def test_nobody_knows_it_for_a_day(scene: Scene) -> None:
    wait_id = due(scene, "elsewhere")
    assert (scene.at(DAY - 1).tick().held, scene.tick().dead) == (1, 0)
    report = tick(scene.at(DAY), on_dead="notices")
    assert (report.dead, report.held) == (1, 1)
    found = deliveries(scene, wait_id)
    assert found["elsewhere"].last_error == "no host has known its handler for 1 day"
    assert (scene.get(wait_id).status, scene.get(wait_id).resolution) == ("error", "manual")
    assert found["notices"].dead_delivery_id == found["elsewhere"].id


def test_a_stale_config_kills_nobodys_deliveries(scene: Scene, tmp_path: Path) -> None:
    """Another host knows the handler, and is only slow: its ticks vouch for it."""
    due(scene, "elsewhere")
    scene.handle(tmp_path, "true", name="elsewhere")
    scene.handlers["elsewhere"] = replace(scene.handlers["elsewhere"], target=PythonConfig("no.such:module"))
    assert scene.at(10 * DAY).tick().held == 1  # that host's tick: it knows the name
    scene.handlers.clear()
    assert (scene.tick().dead, scene.tick().held) == (0, 1)
    scene.sql("DELETE FROM waitctl_ticks")
    assert scene.tick().dead == 1


def test_the_time_is_configured(scene: Scene) -> None:
    due(scene, "elsewhere")
    assert tick(scene.at(60), unknown_handler_after=timedelta(hours=2)).dead == 0
    assert tick(scene.at(120), unknown_handler_after=timedelta(hours=2)).dead == 1


def test_one_that_a_host_has_tried_waits_from_its_next_attempt(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "exit 1", name="fails", backoff=timedelta(hours=1), max_backoff=timedelta(hours=1))
    wait_id = due(scene, "fails")
    scene.at(2 * DAY).tick()
    scene.handlers.clear()
    scene.sql("DELETE FROM waitctl_ticks")
    assert scene.at(3 * DAY - 1).tick().dead == 0
    assert scene.at(3 * DAY + 61).tick().dead == 1
    assert scene.get(wait_id).status == "error"


def test_paused_ones_are_safe(scene: Scene) -> None:
    from waitctl import PauseKind, PauseService

    due(scene, "elsewhere", workflow_id="signup")
    pauses = PauseService(scene.database)
    for kind, name in ((PauseKind.ALL, ""), (PauseKind.HANDLER, "elsewhere"), (PauseKind.WORKFLOW, "signup")):
        pauses.pause(kind, name)
        assert scene.at(2 * DAY).tick().dead == 0
        pauses.unpause(kind, name)
    assert scene.tick().dead == 1


def test_the_heartbeat_says_which_handlers_it_knew(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "true", name="b")
    scene.handle(tmp_path, "true", name="a")
    with Database(scene.url) as database:
        Tick(database, Settings(scene.url, handlers=scene.handlers)).run()
    ((known,),) = scene.sql("SELECT handlers FROM waitctl_ticks")
    assert (json.loads(known) if isinstance(known, str) else known) == ["a", "b"]
