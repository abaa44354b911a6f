"""Pauses: outcomes are decided as ever, deliveries are held."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scene import NOON, Scene
from waitctl import PauseKind, PauseService
from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.pauses import Pause


@pytest.fixture
def pauses(scene: Scene) -> PauseService:
    return PauseService(scene.database, actor="test")


@pytest.mark.parametrize(
    ("kind", "name"), [(PauseKind.ALL, ""), (PauseKind.HANDLER, "nudge"), (PauseKind.WORKFLOW, "signup")]
)
def test_outcomes_latch_and_deliveries_wait(
    scene: Scene, pauses: PauseService, tmp_path: Path, kind: PauseKind, name: str
) -> None:
    out = scene.handle(tmp_path, 'echo "$WAITCTL_OUTCOME" >> $OUT')
    by_event = scene.listen(execution="a", handler="nudge", workflow_id="signup")
    by_timeout = scene.listen(execution="b", contact="bob", handler="nudge", workflow_id="signup")
    due = scene.create(execution="c", handler="nudge", workflow_id="signup").wait
    assert pauses.pause(kind, name, reason="the CRM moves") == Pause(kind, name, "the CRM moves", "test", NOON)
    scene.record()
    report = scene.at(60).tick()
    assert (report.delivered, report.held, report.dead) == (0, 3, 0)
    assert scene.statuses(by_event, by_timeout, due) == "resumed timeout resumed"
    assert scene.waits.list_pending_waits(handlers=["nudge"]).deliveries_held == 3
    assert [each.attempt for each in scene.deliveries.list_deliveries()] == [0, 0, 0]
    assert scene.tick(dry_run=True).delivered == 0
    assert pauses.unpause(kind, name)
    assert not pauses.unpause(kind, name)
    assert (scene.tick().delivered, scene.tick().held) == (3, 0)
    assert sorted(out.read_text().split()) == ["due", "event", "timeout"]


def test_others_go_on(scene: Scene, pauses: PauseService, tmp_path: Path) -> None:
    for name in ("nudge", "other"):
        scene.handle(tmp_path, "true", name=name)
    for execution, handler, workflow in (("a", "nudge", "x"), ("b", "other", "x"), ("c", "other", "y")):
        scene.waits.resume_wait(scene.create(execution=execution, handler=handler, workflow_id=workflow).wait.id)
    pauses.pause(PauseKind.HANDLER, "nudge")
    pauses.pause(PauseKind.WORKFLOW, "x")
    report = scene.tick()
    assert (report.delivered, report.held) == (1, 2)
    pauses.unpause(PauseKind.WORKFLOW, "x")
    report = scene.tick()
    assert (report.delivered, report.held) == (1, 1)


def test_a_wait_without_a_workflow_is_of_none(scene: Scene, pauses: PauseService, tmp_path: Path) -> None:
    scene.handle(tmp_path, "true")
    scene.waits.resume_wait(scene.create(handler="nudge").wait.id)
    pauses.pause(PauseKind.WORKFLOW, "signup")
    assert (scene.tick().delivered, scene.tick().held) == (1, 0)


def test_paused_twice_is_paused_once(scene: Scene, pauses: PauseService) -> None:
    first = pauses.pause(PauseKind.HANDLER, "nudge", reason="first")
    assert PauseService(scene.at(5).database, actor="eve").pause(PauseKind.HANDLER, "nudge", reason="again") == first
    assert pauses.list_pauses() == [first]
    assert scene.waits.list_pending_waits().to_json()["paused"] == [
        {
            "kind": "handler",
            "name": "nudge",
            "reason": "first",
            "actor": "test",
            "paused_at": "2026-03-01T12:00:00Z",
        }
    ]


def test_names_that_are_none(pauses: PauseService) -> None:
    for name in ("", "a\nb", "x" * 256):
        with pytest.raises(InvalidWaitConfigurationError):
            pauses.pause(PauseKind.HANDLER, name)
