"""On SQLite an id is a text, and whoever can write to the file can make it any: it goes into no header, and to no command."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.receiver import Receiver
from tests.scene import Scene
from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.handlers import ExecConfig, HandlerConfig, WebhookConfig

FORGED = "'01900000' || char(13) || char(10) || 'X-Injected: 1'"
DELIVERY = f"UPDATE workflow_wait_deliveries SET id = {FORGED}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def due(scene: Scene, handler: str, execution: str = "e") -> str:
    wait_id = scene.create(execution=execution, handler=handler).wait.id
    scene.waits.resume_wait(wait_id)
    return wait_id


@pytest.mark.parametrize(
    "forge",
    [
        DELIVERY,
        "UPDATE workflow_wait_executions SET contact_id = 'a' || char(10) || 'b'",
        "UPDATE workflow_wait_executions SET workflow_execution_id = 'a' || char(13) || 'b'",
        "UPDATE workflow_wait_executions SET step_id = 'a' || char(27) || '[2J'",
    ],
)
def test_nothing_forged_goes_to_a_webhook(sqlite_scene: Scene, receiver: Receiver, forge: str) -> None:
    scene = sqlite_scene
    scene.handlers["hook"] = HandlerConfig("hook", WebhookConfig(receiver.url))
    due(scene, "hook")
    scene.sql(forge)
    assert scene.tick().dead == 1
    assert receiver.requests == []
    assert scene.sql("SELECT last_error FROM workflow_wait_deliveries")[0].last_error.startswith(
        "somebody else made it"
    )


def test_nothing_forged_goes_to_a_command(sqlite_scene: Scene, tmp_path: Path) -> None:
    scene = sqlite_scene
    out = scene.handle(tmp_path, "env >> $OUT", "nudge")
    due(scene, "nudge")
    scene.sql(DELIVERY)
    assert (scene.tick().dead, scene.tick().delivered) == (1, 0)
    assert not out.exists()
    due(scene, "nudge", "f")
    assert scene.tick().delivered == 1


def test_a_batch_goes_out_without_what_is_forged(sqlite_scene: Scene, tmp_path: Path) -> None:
    scene = sqlite_scene
    script = tmp_path / "batch.sh"
    script.write_text(f"#!/bin/sh\nwc -l > {tmp_path}/out\n")
    script.chmod(0o755)
    scene.handlers["many"] = HandlerConfig(
        "many", ExecConfig((str(script),), batch=True), timedelta(seconds=20), concurrency=1, retry=RetryPolicy()
    )
    first = due(scene, "many", "e")
    due(scene, "many", "f")
    scene.sql(f"{DELIVERY} WHERE wait_id = :wait", wait=first)
    report = scene.tick()
    assert (report.dead, report.delivered) == (1, 1)
    assert (tmp_path / "out").read_text().strip() == "1"


def test_a_wait_whose_id_is_forged_is_refused_as_it_comes_due(sqlite_scene: Scene, tmp_path: Path) -> None:
    """Leased by the statement that ends the wait, without a look at its delivery."""
    scene = sqlite_scene
    out = scene.handle(tmp_path, "env >> $OUT", "nudge")
    scene.create(execution="e", handler="nudge")
    scene.sql(f"UPDATE workflow_wait_executions SET id = {FORGED}")
    report = scene.at(61).tick()
    assert (report.resumed, report.delivered, report.dead) == (1, 0, 1)
    assert not out.exists()
