"""NOTIFY as a handler, heard by a real LISTEN."""

from __future__ import annotations

import json
from datetime import timedelta

import psycopg

from tests.scene import NOON, Scene
from waitctl import Settings, Tick, TickOptions
from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.handlers import HandlerConfig, NotifyConfig


def notify(scene: Scene, channel: str) -> None:
    retry = RetryPolicy(backoff=timedelta(minutes=1))
    scene.handlers["tell"] = HandlerConfig("tell", NotifyConfig(channel), retry=retry)


def test_who_listens_hears_ids_and_nothing_else(postgres_scene: Scene) -> None:
    scene = postgres_scene
    channel = 'waits "quoted" ä'
    notify(scene, channel)
    with psycopg.connect(scene.url, autocommit=True) as connection:
        connection.execute('LISTEN "waits ""quoted"" ä"'.encode())
        large = scene.create(execution="large", handler="tell", context={"x": "y" * 100_000}).wait
        scene.waits.resume_wait(large.id)
        timed_out = scene.listen(handler="tell", timeout="1m")
        report = scene.at(2).tick()
        assert (report.delivered, report.retried) == (2, 0)
        heard = list(connection.notifies(timeout=20, stop_after=2))
    assert {each.channel for each in heard} == {channel}
    delivered = [scene.get(wait).deliveries[0] for wait in (large, timed_out)]
    assert sorted((json.loads(each.payload) for each in heard), key=lambda each: each["outcome"]) == [
        {"delivery_id": each.id, "wait_id": each.wait_id, "outcome": outcome}
        for each, outcome in zip(delivered, ("manual", "timeout"), strict=True)
    ]


def test_what_the_database_refuses_is_tried_again(postgres_scene: Scene) -> None:
    """A channel that is too long for the server: the config would have said so."""
    notify(postgres_scene, "x" * 64)
    wait = postgres_scene.create(handler="tell").wait
    postgres_scene.waits.resume_wait(wait.id)
    assert postgres_scene.tick().retried == 1
    (delivery,) = postgres_scene.get(wait).deliveries
    assert (delivery.last_error or "").startswith("NOTIFY failed: ")
    assert delivery.next_attempt_at >= NOON


def test_sqlite_holds_it(sqlite_scene: Scene) -> None:
    notify(sqlite_scene, "waits")
    wait = sqlite_scene.create(handler="tell").wait
    sqlite_scene.waits.resume_wait(wait.id)
    tick = Tick(sqlite_scene.database, Settings(sqlite_scene.url, handlers=sqlite_scene.handlers), TickOptions())
    report = tick.run()
    assert (report.held, report.delivered, report.dead) == (1, 0, 0)
    assert tick.unready_handlers == {"tell": "NOTIFY needs PostgreSQL, and this database is SQLite"}
    assert [each.status for each in sqlite_scene.get(wait).deliveries] == ["pending"]
