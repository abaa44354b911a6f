"""Events that meet many listeners: so many in a transaction as a budget of pairs holds, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.interleaving import statements
from tests.scene import Scene
from waitctl import Settings, Tick, TickOptions, WaitStepExecution
from waitctl.application.events.webhooks import Webhook, WebhookService
from waitctl.application.processor import phases
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.providers import Request
from waitctl.infrastructure.store.correlation import loads

WAITS = 8
BUDGET = 20
"""Two events of the contact with so many waits."""


@pytest.fixture(autouse=True)
def _small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "PAIRS", BUDGET)


def listen(scene: Scene, **options: Any) -> list[WaitStepExecution]:
    """Each waits for an event with a greater n than the one before it."""
    return [
        scene.listen(execution=f"e{number}", where=f"event.data.n >= {number}", **options) for number in range(WAITS)
    ]


@contextmanager
def events_judged(scene: Scene) -> Iterator[list[int]]:
    """How many events each look for candidates was about, all of one contact."""
    dialect = "sqlite" if scene.database.is_sqlite else "postgresql"
    looks, judged = kept("find_candidates").sent(dialect)[0].text, list[int]()
    with statements() as seen:
        yield judged
    judged += [len(json.loads(parameters["wanted"])) for text, parameters in seen if text == looks]


def lines(count: int, contact: str = "ada") -> list[bytes]:
    fields = {"type": "email_open", "contact": contact}
    return [json.dumps(fields | {"id": f"{contact}{n}", "data": {"n": n}}).encode() for n in range(count)]


def took(scene: Scene, waits: list[WaitStepExecution]) -> list[int]:
    """The n of the events that they took."""
    ids = [scene.get(wait).resolution_event_id for wait in waits]
    return [scene.events.get_event(each).data["n"] for each in ids if each is not None]


def test_a_stream(scene: Scene) -> None:
    waits, bob = listen(scene), scene.listen(execution="bob", contact="bob")
    with events_judged(scene) as judged:
        totals = scene.events.ingest_ndjson(enumerate([*lines(30), *lines(1, "bob")], 1))
    assert (totals.received, totals.recorded, totals.matched) == (31, 31, WAITS + 1)
    assert all(count * WAITS <= BUDGET + WAITS for count in judged), "bob's event is beside ada's"
    assert sum(judged) == WAITS + 1, "nobody listens any more to the rest"
    assert took(scene, [*waits, bob]) == [*range(WAITS), 0]


def test_a_stream_again_is_all_known(scene: Scene) -> None:
    listen(scene, count=100)
    scene.events.ingest_ndjson(enumerate(lines(10), 1))
    totals = scene.events.ingest_ndjson(enumerate([*lines(10), *lines(12), b"no event"], 1))
    assert (totals.received, totals.recorded, totals.duplicates, totals.rejected) == (23, 2, 20, 1)


def test_a_stream_that_is_stopped_says_what_it_took(scene: Scene) -> None:
    listen(scene, count=100)
    asked = iter([True, False])
    totals = scene.events.ingest_ndjson(enumerate(lines(9), 1), may_go_on=lambda: next(asked, False))
    assert (totals.received, totals.recorded) == (2, 2)
    totals = scene.events.ingest_ndjson(enumerate(lines(9), 1))
    assert (totals.received, totals.recorded, totals.duplicates) == (9, 7, 2)


def test_a_tick(scene: Scene) -> None:
    scene.on_the_real_clock()
    waits, bob = listen(scene), scene.listen(execution="bob", contact="bob")
    for n in range(9):
        scene.insert_event(data=json.dumps({"n": n}))
    scene.insert_event(contact_id="bob", data='{"n": 0}')
    with events_judged(scene) as judged:
        report = scene.tick()
    assert (report.correlated, report.resumed) == (10, WAITS + 1)
    assert judged[0] == 3, "of the first ten two of ada's, and bob's"
    assert max(judged) < 9, "never all at once"
    assert took(scene, [*waits, bob]) == [*range(WAITS), 0]


def test_what_is_due_does_not_wait_for_all_events(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share of no time is one batch: two events, and bob's beside them."""
    monkeypatch.setattr(phases, "_MOST_AT_ONCE", 0)
    scene.on_the_real_clock()
    listen(scene, count=100, timeout=None)
    bob = scene.listen(execution="bob", contact="bob", timeout=None)
    due = scene.create("1s", execution="due").wait
    scene.sql("UPDATE workflow_wait_executions SET scheduled_at = created_at WHERE id = :id", id=due.id)
    for n in range(9):
        scene.insert_event(data=json.dumps({"n": n + WAITS}))
    scene.insert_event(contact_id="bob")

    def run() -> Any:
        is_ended = scene.get(due).status == "resumed"
        return Tick(
            scene.database,
            Settings(scene.url),
            TickOptions(),
            interrupted=lambda: not is_ended and scene.get(due).status == "resumed",
        ).run()

    report = run()
    assert (report.stopped, report.correlated, report.resumed) == ("interrupted", 3, 2)
    assert scene.statuses(due, bob) == "resumed resumed"
    report = run()
    assert (report.stopped, report.correlated) == ("idle", 7)


def test_a_run_that_stopped_early_has_something_to_say(scene: Scene) -> None:
    scene.on_the_real_clock()
    report = Tick(scene.database, Settings(scene.url), TickOptions(), interrupted=lambda: True).run()
    assert report.stopped == "interrupted"
    assert not report.did_nothing


def test_exclusive_waits_take_the_events_in_their_order(scene: Scene) -> None:
    waits = [scene.listen(execution=f"e{n}", exclusive=True) for n in range(WAITS)]
    scene.events.ingest_ndjson(enumerate(lines(WAITS), 1))
    assert took(scene, waits) == list(range(WAITS))


@pytest.mark.parametrize("by_tick", [False, True])
def test_groups_count_the_events_in_their_order(scene: Scene, *, by_tick: bool) -> None:
    scene.on_the_real_clock()
    waits = [scene.listen(execution=f"e{n}", count=n + 2, where="event.data.n >= 0") for n in range(WAITS)]
    if by_tick:
        for n in range(WAITS + 3):
            scene.insert_event(data=json.dumps({"n": n}))
        scene.tick()
    else:
        scene.events.ingest_ndjson(enumerate(lines(WAITS + 3), 1))
    assert took(scene, waits) == [n + 1 for n in range(WAITS)]


def test_webhooks_that_share_a_transaction(scene: Scene) -> None:
    waits, counting = listen(scene), scene.listen(execution="all", count=9, where="event.data.n >= 0")
    settings = Settings(scene.url)
    webhook = Webhook(settings, "cloudevents", verify=False)
    head = {"specversion": "1.0", "source": "s", "type": "email_open", "subject": "ada"}
    arrived = [
        (Request.of(json.dumps(head | {"id": str(n), "data": {"n": n}}).encode(), _STRUCTURED), webhook)
        for n in range(9)
    ]
    with events_judged(scene) as judged:
        results: list[Any] = WebhookService(scene.database, settings).ingest_together(arrived)
    assert [result.totals.matched for result in results] == [1] * (WAITS + 1)
    assert max(judged) < 9, "never all at once"
    assert took(scene, [*waits, counting]) == list(range(WAITS + 1))


def test_one_webhook_of_many_events_leaves_to_the_tick_what_is_too_much(scene: Scene) -> None:
    waits = listen(scene)
    webhook = Webhook(Settings(scene.url), "cloudevents", verify=False)
    head = {"specversion": "1.0", "source": "s", "type": "email_open", "subject": "ada"}
    body = json.dumps([head | {"id": str(n), "data": {"n": n}} for n in range(9)]).encode()
    request = Request.of(body, [("content-type", "application/cloudevents-batch+json")])
    result = WebhookService(scene.database, Settings(scene.url)).ingest(request, webhook)
    assert (result.totals.recorded, result.totals.matched) == (9, 2)
    report = scene.tick()
    assert (report.correlated, report.resumed) == (7, WAITS - 2)
    assert took(scene, waits) == list(range(WAITS))


_STRUCTURED = [("content-type", "application/cloudevents+json")]
