"""Blocking until waits have ended. Nothing is asserted about time: what must not be waited for is made endless."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.interleaving import Background, until
from tests.scene import Scene
from waitctl import Awaited, AwaitService, Database, Settings, Wakeup
from waitctl.application.events.webhooks import Webhook, WebhookService
from waitctl.domain.errors import AmbiguousIdError, WaitExecutionNotFoundError
from waitctl.infrastructure.providers import Request

FOREVER = 3600.0
SOON = timedelta(seconds=0.05)


@pytest.fixture
def only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking again by itself would come too late for any test."""
    monkeypatch.setattr("waitctl.application.waits.awaiting._LOOK_AGAIN", FOREVER)


def awaiting(
    scene: Scene, *wait_ids: str, any_of: bool = False, say: Callable[[str], None] = lambda _: None
) -> Background[Awaited]:
    def job() -> Awaited:
        with Database(scene.url) as database:
            database.identity = "who awaits"
            return AwaitService(database, say=say).await_waits(wait_ids, any_of=any_of)

    return Background(job)


def listeners(url: str) -> int:
    """How many connections wait for a notification."""
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)) as other:
        found = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        ).fetchone()
        assert found is not None
        return int(found[0])


def test_what_has_ended_is_there_at_once(scene: Scene) -> None:
    ended = scene.create().wait
    scene.waits.resume_wait(ended.id)
    found = AwaitService(scene.database).await_waits([ended.id[-12:]])
    assert (found.timed_out, found.resumed, found.waits[0].wait.id) == (False, True, ended.id)


@pytest.mark.parametrize(
    ("how", "resumed"), [("due", True), ("event", True), ("manual", True), ("timeout", False), ("cancelled", False)]
)
def test_answers_by_resolution(scene: Scene, how: str, resumed: bool) -> None:
    wait = scene.create().wait if how == "due" else scene.listen()
    awaited = awaiting(scene, wait.id)
    if how == "event":
        scene.record()
    if how == "manual":
        scene.waits.resume_wait(wait.id)
    if how == "cancelled":
        scene.waits.cancel_wait(wait.id)
    scene.at(60).tick()
    found = awaited.result()
    assert (found.waits[0].wait.resolution, found.resumed, found.timed_out) == (how, resumed, False)


def test_a_delivery_that_died_changes_nothing(scene: Scene, tmp_path: object) -> None:
    wait = scene.create(handler="nudge").wait
    scene.waits.resume_wait(wait.id)
    scene.sql("UPDATE workflow_wait_executions SET status = 'error'")
    assert AwaitService(scene.database).await_waits([wait.id]).resumed


def test_times_out(scene: Scene) -> None:
    wait = scene.create().wait
    found = AwaitService(scene.database).await_waits([wait.id], timeout=SOON)
    assert (found.timed_out, found.ended, found.waits[0].wait.status) == (True, (), "scheduled")
    assert AwaitService(scene.database).await_waits([wait.id], timeout=timedelta(0)).timed_out


def test_any_and_all(scene: Scene) -> None:
    first, second = (scene.create(execution=name).wait for name in "ab")
    every, either = awaiting(scene, first.id, second.id), awaiting(scene, second.id, first.id, any_of=True)
    scene.waits.cancel_wait(second.id)
    found = either.result()
    assert [each.wait.id for each in found.ended] == [second.id] and not found.resumed
    assert not every.is_done
    scene.waits.resume_wait(first.id)
    found = every.result()
    assert [each.wait.id for each in found.waits] == [first.id, second.id]
    assert (found.resumed, found.timed_out) == (False, False)


def test_the_same_wait_twice_is_one(scene: Scene) -> None:
    wait = scene.create().wait
    scene.waits.resume_wait(wait.id)
    assert len(AwaitService(scene.database).await_waits([wait.id, wait.id[-12:]]).waits) == 1


def test_waits_that_are_not_there(scene: Scene) -> None:
    with pytest.raises(WaitExecutionNotFoundError):
        AwaitService(scene.database).await_waits(["01a20000-0000-7000-8000-000000000000"])
    first, second = (scene.create(execution=name).wait for name in "ab")
    with pytest.raises(AmbiguousIdError):
        AwaitService(scene.database).await_waits([first.id[:8]])
    assert second.id != first.id


def test_one_that_is_pruned_meanwhile(scene: Scene) -> None:
    wait = scene.create().wait
    awaited = awaiting(scene, wait.id)
    scene.sql("DELETE FROM workflow_wait_executions")
    with pytest.raises(WaitExecutionNotFoundError):
        awaited.result()


@pytest.mark.parametrize("how", ["due", "event", "timeout", "manual", "cancelled"])
def test_postgresql_says_so(postgres_scene: Scene, only_when_told: None, how: str) -> None:
    """Every way in which a wait ends is announced: nobody looks again here."""
    scene = postgres_scene
    wait = scene.create().wait if how == "due" else scene.listen()
    awaited = awaiting(scene, wait.id)
    until(lambda: listeners(scene.url), "somebody who listens")
    match how:
        case "event":
            scene.record()
        case "manual":
            scene.waits.resume_wait(wait.id)
        case "cancelled":
            scene.waits.cancel_wait(wait.id)
        case _:
            scene.at(60).tick()
    assert awaited.result().waits[0].wait.resolution == how


def test_one_notification_a_transaction_and_none_for_a_look(postgres_scene: Scene) -> None:
    scene = postgres_scene
    scene.create()
    with psycopg.connect(
        make_url(scene.url).set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    ) as other:
        other.execute("LISTEN waitctl")
        for number in range(5):
            scene.listen(execution=f"e{number}")
        scene.waits.list_waits()
        scene.record()  # resumes all five in one transaction
        assert len(list(other.notifies(timeout=0.2))) == 6


def test_webhooks_are_announced_where_something_waits_for_them(postgres_scene: Scene) -> None:
    scene = postgres_scene
    scene.listen()
    settings = Settings(scene.url)
    webhook = Webhook(settings, "cloudevents", verify=False)
    url = make_url(scene.url).set(drivername="postgresql").render_as_string(hide_password=False)

    def arrived(contact: str, number: str) -> tuple[Request, Webhook]:
        event = {"specversion": "1.0", "source": "s", "type": "email_open", "subject": contact, "id": number}
        return Request.of(json.dumps(event).encode(), {"content-type": "application/cloudevents+json"}), webhook

    with psycopg.connect(url, autocommit=True) as other:
        other.execute("LISTEN waitctl")
        service = WebhookService(scene.database, settings)
        for contact, announced in (("nobody", 0), ("ada", 1)):
            together = [arrived("nobody else", f"{contact} 1"), arrived(contact, f"{contact} 2")]
            assert len(service.ingest_together(together)) == 2
            assert len(list(other.notifies(timeout=0.2))) == announced


def test_a_database_that_goes_away_is_waited_for(postgres_scene: Scene) -> None:
    scene, said = postgres_scene, list[str]()
    wait = scene.create().wait
    awaited = awaiting(scene, wait.id, say=said.append)
    until(lambda: listeners(scene.url), "somebody who listens")
    scene.database.close()
    with psycopg.connect(
        make_url(scene.url).set(drivername="postgresql", database="postgres").render_as_string(hide_password=False),
        autocommit=True,
    ) as admin:
        name = make_url(scene.url).database
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        until(lambda: said, "a word about it")
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    scene.waits.resume_wait(wait.id)
    assert awaited.result().resumed
    assert said[0].endswith("trying again") and said[-1] == "the database is well again"


def test_a_signal_wakes_and_what_one_said_oneself_does_not(postgres_scene: Scene) -> None:
    scene = postgres_scene
    with Wakeup(scene.database) as signal:
        signal.listen()
        scene.create()
        assert not signal.wait(0.05)
        signal.wake()
        assert signal.wait(FOREVER)
