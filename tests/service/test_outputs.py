"""What handlers say is kept beside their deliveries: the last 4 KiB, of those that succeeded, too."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.receiver import Receiver, answer
from tests.scene import Scene
from waitctl.domain.deliveries import MAX_OUTPUT, AttemptOutput, Lease
from waitctl.domain.handlers import ExecConfig, HandlerConfig, PythonConfig, WebhookConfig
from waitctl.infrastructure.database import Connection
from waitctl.infrastructure.redaction import remember
from waitctl.infrastructure.store import outcomes

MODULE = "outputs_of_a_test"


def due(scene: Scene, *executions: str, handler: str = "nudge") -> None:
    for execution in executions:
        scene.waits.resume_wait(scene.create(execution=execution, handler=handler).wait.id)


def kept(scene: Scene) -> dict[str, tuple[str, int] | None]:
    """The output of each delivery, by its wait's execution."""
    return {
        scene.get(each.wait_id).workflow_execution_id: scene.deliveries.get_output(each)
        for each in scene.deliveries.list_deliveries()
    }


def test_a_command_s_last_words(scene: Scene, tmp_path: Path) -> None:
    scene.handle(
        tmp_path,
        'echo "for $WAITCTL_EXECUTION_ID"; [ $WAITCTL_EXECUTION_ID = quiet ] && exec >/dev/null\n'
        "echo to the other stream >&2\n"
        "[ $WAITCTL_EXECUTION_ID = fails ] && exit 3\n"
        "[ $WAITCTL_EXECUTION_ID = long ] && { head -c 9000 /dev/zero | tr '\\0' x; echo END; }\n"
        "exit 0",
    )
    due(scene, "works", "fails", "long")
    assert (scene.tick().delivered, scene.sql("SELECT count(*) FROM workflow_delivery_outputs")[0][0]) == (2, 3)
    said = kept(scene)
    assert said["works"] == ("for works\nto the other stream", 1)
    assert said["fails"] == ("for fails\nto the other stream", 1)
    text, _ = said["long"] or ("", 0)
    assert text.endswith("xEND") and MAX_OUTPUT - 10 < len(text) <= MAX_OUTPUT


def test_who_says_nothing_costs_no_row_and_a_later_attempt_replaces_the_earlier(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, '[ $WAITCTL_ATTEMPT = 1 ] && { echo first; exit 1; }; echo "attempt $WAITCTL_ATTEMPT"')
    scene.handle(tmp_path, "exit 0", name="silent")
    due(scene, "e")
    due(scene, "s", handler="silent")
    scene.tick()
    assert kept(scene) == {"e": ("first", 1), "s": None}
    scene.at(60).tick()
    assert kept(scene) == {"e": ("attempt 2", 2), "s": None}


def test_a_batch_s_words_are_of_all_in_it(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "cat > /dev/null; echo done with them >&2; echo note")
    config = scene.handlers["nudge"]
    assert isinstance(config.target, ExecConfig)
    scene.handlers["nudge"] = replace(config, target=replace(config.target, batch=True))
    due(scene, "a", "b")
    assert scene.tick().delivered == 2
    assert kept(scene) == {"a": ("note\ndone with them", 1), "b": ("note\ndone with them", 1)}


def test_what_a_function_prints(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{MODULE}.py").write_text(
        "import sys, logging\n"
        "logging.basicConfig(format='%(message)s')\n"
        "def handle(document):\n"
        "    name = document['wait']['workflow_execution_id']\n"
        "    if name == 'silent': return\n"
        "    print('hello', name)\n"
        "    logging.warning('a warning')\n"
        "    if name == 'fails': raise ValueError('no')\n"
    )
    scene.handlers["call"] = HandlerConfig("call", PythonConfig(f"{MODULE}:handle"), timedelta(seconds=20), 4)
    due(scene, "works", "fails", "silent", handler="call")
    assert scene.tick().delivered == 2
    assert kept(scene) == {
        "works": ("hello works\na warning", 1),
        "fails": ("hello fails\na warning", 1),
        "silent": None,
    }


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [(200, "queued as 7", "queued as 7"), (200, "", None), (500, "x" * 9000 + "the end", "xthe end")],
)
def test_the_end_of_an_answer(scene: Scene, status: int, body: str, expected: str | None) -> None:
    with Receiver() as receiver:
        receiver.reply = answer(status, body)
        scene.handlers["hook"] = HandlerConfig("hook", WebhookConfig(receiver.url), timedelta(seconds=20), 1)
        due(scene, "e", handler="hook")
        scene.tick()
    text, _ = kept(scene)["e"] or (None, 0)
    assert (text or "")[-len(expected or "") :] == (expected or "")
    assert len(text or "") <= MAX_OUTPUT and (text is None) == (expected is None)


def test_secrets_are_masked(scene: Scene, tmp_path: Path) -> None:
    remember("postgresql://ada:sesame-open@db/waits")
    scene.handle(tmp_path, "echo connecting to postgresql://ada:hunter2@db/x with sesame-open; exit 1")
    due(scene, "e")
    scene.tick()
    text, _ = kept(scene)["e"] or ("", 0)
    (delivery,) = scene.deliveries.list_deliveries()
    assert text == "connecting to postgresql://ada:***@db/x with ***"
    assert "hunter2" not in (delivery.last_error or "")


def test_a_zombie_s_words_change_nothing(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "echo mine")
    due(scene, "e")
    scene.tick()
    (delivery,) = scene.deliveries.list_deliveries()

    def late(connection: Connection) -> None:
        outcomes.keep_outputs(connection, [AttemptOutput(Lease(delivery.id, delivery.claims - 1), 7, "a zombie's")])

    scene.database.write(late)
    assert kept(scene) == {"e": ("mine", 1)}
    scene.sql("DELETE FROM workflow_wait_deliveries")
    assert scene.sql("SELECT count(*) FROM workflow_delivery_outputs")[0][0] == 0, "kept as long as the delivery"
