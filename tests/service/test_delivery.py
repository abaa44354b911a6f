"""Delivery with real commands: what their exit status means, and what they may do to us."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from tests.scene import MINUTE, NOON, Scene
from waitctl import DeliveryService, Settings, Tick, TickOptions
from waitctl.domain.deliveries import Backlog, Delivery
from waitctl.domain.errors import DeliveryNotFoundError, IllegalTransitionError
from waitctl.domain.statuses import DeliveryStatus


def due(scene: Scene, number: int = 1, handler: str = "nudge") -> list[str]:
    """Waits that were resumed by hand and have a delivery."""
    made = [scene.create(execution=f"e{each}", handler=handler).wait.id for each in range(number)]
    for wait_id in made:
        scene.waits.resume_wait(wait_id)
    return made


def only(scene: Scene, wait_id: str) -> Delivery:
    (delivery,) = scene.get(wait_id).deliveries
    return delivery


@pytest.mark.parametrize(
    ("script", "status", "attempt", "error"),
    [
        ("exit 0", "delivered", 1, None),
        ("exit 75", "pending", 0, "exit status 75"),
        ("echo bad data >&2; exit 65", "dead", 1, "exit status 65: bad data"),
        ("exit 78", "dead", 1, "exit status 78"),
        ("echo oops; exit 1", "pending", 1, "exit status 1: oops"),
        ("exit 255", "pending", 1, "exit status 255"),
        ("kill -9 $$", "pending", 1, "ended by signal SIGKILL"),
        ("kill -TERM $$", "pending", 1, "ended by signal SIGTERM"),
        ("printf 'a\\000b\\377'; exit 1", "pending", 1, "exit status 1: a\ufffdb\ufffd"),
    ],
)
def test_exit_status(scene: Scene, tmp_path: Path, script: str, status: str, attempt: int, error: str | None) -> None:
    scene.handle(tmp_path, script)
    (wait_id,) = due(scene)
    report = scene.tick()
    delivery = only(scene, wait_id)
    assert (delivery.status, delivery.attempt, delivery.last_error) == (status, attempt, error)
    assert (delivery.delivered_at is not None) == (status == "delivered")
    assert delivery.lease_expires_at is None
    assert {"delivered": report.delivered, "pending": report.retried, "dead": report.dead}[status] == 1
    assert scene.get(wait_id).status == ("error" if status == "dead" else "resumed")
    assert scene.get(wait_id).resolution == "manual"


def test_error_keeps_the_tail_of_the_output(sqlite_scene: Scene, tmp_path: Path) -> None:
    sqlite_scene.handle(tmp_path, "yes | head -c 300000; echo the end; exit 1")
    (wait_id,) = due(sqlite_scene)
    sqlite_scene.tick()
    error = only(sqlite_scene, wait_id).last_error or ""
    assert error.endswith("the end") and len(error) < 4200


def test_command_that_is_not_there(sqlite_scene: Scene, tmp_path: Path) -> None:
    out = sqlite_scene.handle(tmp_path, "true")
    out.with_suffix(".sh").unlink()
    (wait_id,) = due(sqlite_scene)
    assert sqlite_scene.tick().retried == 1
    assert "No such file" in (only(sqlite_scene, wait_id).last_error or "")


def test_what_a_command_gets(scene: Scene, tmp_path: Path) -> None:
    out = scene.handle(tmp_path, 'cat > $OUT; env | grep ^WAITCTL_ | sort > "$OUT.env"')
    wait = scene.listen(handler="nudge", context={"n": 1}, step_id="s")
    event = scene.record(data={"x": "é"}, external_id="m-1")
    scene.at(1).tick()
    delivery = only(scene, wait.id)
    payload = json.loads(out.read_text())
    assert {"delivery_id", "attempt", "outcome", "event", "late_seconds", "wait"} <= payload.keys()
    assert (payload["delivery_id"], payload["attempt"], payload["outcome"]) == (delivery.id, 1, "event")
    assert (payload["event"]["event_id"], payload["event"]["id"], payload["event"]["data"]) == (
        event.event_id,
        "m-1",
        {"x": "é"},
    )
    assert (payload["wait"]["id"], payload["wait"]["status"], payload["wait"]["context"]) == (
        wait.id,
        "resumed",
        {"n": 1},
    )
    environment = dict(line.split("=", 1) for line in Path(f"{out}.env").read_text().splitlines())
    assert environment.pop("WAITCTL_DATABASE_URL").endswith(scene.url.rpartition("/")[2])
    environment.pop("WAITCTL_TEST_POSTGRES_URL", None)
    assert environment == {
        "WAITCTL_AS_OF": "2026-03-01T12:01:00Z",
        "WAITCTL_DELIVERY_ID": delivery.id,
        "WAITCTL_ATTEMPT": "1",
        "WAITCTL_OUTCOME": "event",
        "WAITCTL_WAIT_ID": wait.id,
        "WAITCTL_EXECUTION_ID": "e",
        "WAITCTL_STEP_ID": "s",
        "WAITCTL_CONTACT_ID": "ada",
        "WAITCTL_EVENT_TYPE": "email_open",
    }


def test_data_of_a_manual_resume_reaches_the_command(scene: Scene, tmp_path: Path) -> None:
    out = scene.handle(tmp_path, "cat > $OUT")
    wait = scene.create(handler="nudge").wait
    scene.waits.resume_wait(wait.id, data={"by": "eve"})
    scene.tick()
    payload = json.loads(out.read_text())
    assert (payload["data"], payload["event"], payload["outcome"]) == ({"by": "eve"}, None, "manual")


def test_retries_until_dead_then_by_hand(scene: Scene, tmp_path: Path) -> None:
    out = scene.handle(
        tmp_path,
        'echo "$WAITCTL_DELIVERY_ID $WAITCTL_ATTEMPT" >> $OUT; test -e "$OUT.fixed"',
        max_attempts=3,
        backoff=timedelta(minutes=1),
        max_backoff=timedelta(minutes=1),
    )
    wait = scene.listen(handler="nudge", timeout="1m")
    for minutes in (2, 4, 6):
        assert scene.statuses(wait) != "error"
        scene.at(minutes).tick()
    delivery = only(scene, wait.id)
    assert (delivery.status, delivery.attempt, delivery.max_attempts) == ("dead", 3, 3)
    assert scene.statuses(wait) == "error"
    assert scene.get(wait).resolution == "timeout"
    assert scene.waits.list_pending_waits().deliveries_dead == 1
    assert scene.at(60).tick().dead == 0

    Path(f"{out}.fixed").touch()
    assert scene.deliveries.retry(delivery.id[-12:]).status == "pending"
    assert scene.statuses(wait) == "timeout"
    assert scene.tick().delivered == 1
    assert out.read_text().split("\n")[:-1] == [f"{delivery.id} {attempt}" for attempt in (1, 2, 3, 4)]
    assert [line.to_status for line in scene.waits.get_history(wait.id)] == ["waiting", "timeout", "error", "timeout"]
    with pytest.raises(IllegalTransitionError, match="delivered"):
        scene.deliveries.retry(delivery.id)


def test_retry_waits_for_its_time(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "exit 75", backoff=timedelta(minutes=5), max_backoff=timedelta(minutes=5))
    (wait_id,) = due(scene)
    scene.tick()
    assert only(scene, wait_id).next_attempt_at == NOON + 5 * MINUTE
    assert scene.at(4.9).tick().retried == 0
    assert scene.at(5).tick().retried == 1


def test_all_dead_retried_and_dropped(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "exit 65")
    waits = due(scene, 3)
    assert scene.tick().dead == 3
    dropped = scene.deliveries.drop(only(scene, waits[0]).id)
    assert dropped.status == "dropped" == scene.deliveries.drop(dropped.id).status
    assert len(scene.deliveries.retry_dead()) == 2
    assert [scene.get(wait).status for wait in waits] == ["error", "resumed", "resumed"]
    assert len(scene.deliveries.list_deliveries([DeliveryStatus.PENDING])) == 2
    assert scene.deliveries.retry_dead() == []
    with pytest.raises(DeliveryNotFoundError):
        scene.deliveries.get_delivery("00000000")


def test_unknown_handler_is_held_not_killed(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "true")
    (wait_id,) = due(scene, handler="of-another-host")
    report = scene.tick()
    assert (report.held, report.delivered, report.dead) == (1, 0, 0)
    assert (only(scene, wait_id).status, only(scene, wait_id).attempt) == ("pending", 0)
    scene.handle(tmp_path, "true", name="of-another-host")
    assert scene.tick().delivered == 1


def test_lease_that_ran_out_has_used_up_its_attempt(scene: Scene, tmp_path: Path) -> None:
    """A tick that crashed while its command ran: the row stays running until its lease is over."""
    scene.handle(tmp_path, "true", max_attempts=1)
    (wait_id,) = due(scene)
    scene.sql(
        "UPDATE workflow_wait_deliveries SET status = 'running', attempt = 1, max_attempts = 1, lease_expires_at = :at",
        at="2026-03-01 12:05:00.000000" + ("" if scene.database.is_sqlite else "+00"),
    )
    assert scene.at(4.9).tick().did_nothing
    assert scene.at(5).tick().dead == 1
    assert (only(scene, wait_id).status, only(scene, wait_id).attempt) == ("dead", 1)
    assert "lease ran out" in (only(scene, wait_id).last_error or "")
    assert scene.get(wait_id).status == "error"


def test_poison_does_not_block_the_others(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "exit 1", name="poison")
    scene.handle(tmp_path, "true")
    due(scene, handler="poison")
    good = scene.create(execution="good", handler="nudge").wait
    scene.waits.resume_wait(good.id)
    report = scene.tick(batch_size=1)
    assert (report.delivered, report.retried) == (1, 1)


def test_interrupted_tick_gives_back_what_has_not_started(scene: Scene, tmp_path: Path) -> None:
    """The first command says that it runs; then the tick is interrupted, and starts no other."""
    out = scene.handle(tmp_path, "echo run >> $OUT", concurrency=1)
    due(scene, 4)
    report = Tick(
        scene.database, Settings(scene.url, handlers=scene.handlers), TickOptions(), interrupted=out.exists
    ).run()
    assert (report.stopped, report.delivered) == ("interrupted", 1)
    assert out.read_text() == "run\n"
    pending = scene.deliveries.list_deliveries([DeliveryStatus.PENDING])
    assert [(each.attempt, each.lease_expires_at) for each in pending] == [(0, None)] * 3
    assert scene.tick().delivered == 3


def test_no_time_hands_nothing_out(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "true")
    due(scene)
    report = scene.tick(time_budget=timedelta(0))
    assert (report.stopped, report.delivered) == ("time_budget", 0)
    assert threading.active_count() < 20


def test_backlogs_by_handler(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "exit 1", name="fails", backoff=timedelta(minutes=5), max_backoff=timedelta(minutes=5))
    scene.handle(tmp_path, "exit 65", name="dies")
    scene.handle(tmp_path, "true", name="works")
    for number, handler in enumerate(("fails", "fails", "dies", "works", "elsewhere")):
        wait = scene.create(execution=str(number), handler=handler).wait
        scene.waits.resume_wait(wait.id)
    scene.tick()
    scene.sql(
        "UPDATE workflow_wait_deliveries SET status = 'running', lease_expires_at = next_attempt_at WHERE id = "
        "(SELECT id FROM workflow_wait_deliveries WHERE handler = 'fails' LIMIT 1)"
    )
    assert scene.deliveries.list_backlogs(["works", "dies"]) == [
        Backlog("dies", dead=1),
        Backlog("elsewhere", pending=1, due=1, oldest_due_at=NOON),
        Backlog("fails", pending=1, failing=1, running=1),
        Backlog("works"),
    ]
    assert [each.due for each in DeliveryService(scene.at(5).database).list_backlogs()] == [0, 1, 1]
