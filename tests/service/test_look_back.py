"""Look-backs over many events: a page at a time, none read again, and what falls between two attempts is not missed."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from tests.interleaving import statements
from tests.scene import Scene
from tests.service.test_condition_budget import between_attempts
from tests.service.test_match_budget import turns_between
from waitctl import CreateTotals, EventQuery, Rules, WaitRequest, WaitSpec, parse_hours
from waitctl.application.waits import batches
from waitctl.domain.durations import Duration
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.store.correlation import candidates
from waitctl.infrastructure.store.correlation.verdicts import Verdicts

EVENTS = 60
PAGE = 10
HOUR = Duration(0, timedelta(hours=1))


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of ten events, of which a transaction asks a few."""
    monkeypatch.setattr(candidates, "_PAGE", PAGE)
    monkeypatch.setattr(Verdicts.__init__, "__defaults__", (4_000,))


def record(scene: Scene) -> list[str]:
    """Events a second apart, from noon on. Then it is five past."""
    ids = list[str]()
    for number in range(EVENTS):
        ids.append(scene.at(number / 60).record(data={"n": number}).event_id or "")
    scene.at(5)
    return ids


def asked(scene: Scene, seen: list[tuple[str, Any]]) -> list[str]:
    """The events that were fetched for conditions, in order."""
    text = kept("get_subjects").sent("sqlite" if scene.database.is_sqlite else "postgresql")[0].text
    found = list[str]()
    for said, parameters in seen:
        if said == text:
            found += re.findall("[0-9a-f-]{36}", str(parameters))
    return found


def pages(scene: Scene, seen: list[tuple[str, Any]]) -> int:
    text = kept("find_earlier", "beyond").sent("sqlite" if scene.database.is_sqlite else "postgresql")[0].text
    return sum(said == text for said, _ in seen)


def test_it_goes_no_further_than_to_what_the_wait_takes(scene: Scene) -> None:
    ids = record(scene)
    with statements() as seen:
        wait = scene.listen(where="event.data.n >= 3", lookback="1h")
    assert (wait.status, wait.resolution_event_id) == ("resumed", ids[3])
    assert set(asked(scene, seen)) <= set(ids[:PAGE])


@pytest.mark.parametrize("at", [EVENTS - 1, None])
def test_no_page_is_read_again_once_it_is_answered(scene: Scene, at: int | None) -> None:
    ids = record(scene)
    with statements() as seen:
        wait = scene.listen(where=f"event.data.n == {at or -1}", lookback="1h")
    assert wait.resolution_event_id == (ids[at] if at else None)
    assert sorted(set(asked(scene, seen))) == sorted(ids)
    # One attempt a page that is too much, which begins with the page before and ends with it.
    assert pages(scene, seen) <= 2 * EVENTS // PAGE + 2


def test_an_event_that_comes_in_before_the_mark_is_not_missed(scene: Scene) -> None:
    record(scene)
    recorded = list[str | None]()

    def slip_in(other: Scene) -> None:
        recorded.append(other.at(0.01).record(data={"n": -1}).event_id)

    with between_attempts(scene, slip_in, after=3) as acted:
        wait = scene.listen(where="event.data.n == -1", lookback="1h")
    assert acted
    assert (wait.status, wait.resolution_event_id) == ("resumed", recorded[0])


def test_an_event_that_is_free_again_is_not_missed(scene: Scene) -> None:
    closed = Rules(window=parse_hours("mon-sun 20:00-21:00"))
    taker = scene.listen(execution="taker", match={"n": "5"}, exclusive=True, rules=closed, timeout="3h")
    ids = record(scene)
    assert scene.get(taker).status == "scheduled"
    with between_attempts(scene, lambda other: other.waits.cancel_wait(taker.id), after=4) as acted:
        wait = scene.listen(where="event.data.n == 5", lookback="1h")
    assert acted
    assert (wait.status, wait.resolution_event_id) == ("resumed", ids[5])


def test_many_conditions_of_one_kind_ask_once(scene: Scene) -> None:
    ids = record(scene)
    asks = [
        WaitRequest.for_event(
            EventQuery(("email_open",), where="event.data.n == -1", lookback=HOUR),
            WaitSpec(f"e{number}", contact_id="ada"),
        )
        for number in range(5)
    ]
    with statements() as seen:
        assert scene.waits.create_waits(asks) == CreateTotals(5, 5)
    assert pages(scene, seen) <= 4 * EVENTS // PAGE + 10
    assert set(asked(scene, seen)) == set(ids)


def test_a_group_counts_the_oldest_across_pages(scene: Scene) -> None:
    ids = record(scene)
    wait = scene.listen(where="event.data.n % 9 == 1", count=4, lookback="1h")
    assert (wait.status, wait.resolution_event_id) == ("resumed", ids[28])
    more = scene.listen(execution="f", where="event.data.n % 30 == 1", count=4, lookback="1h")
    assert more.status == "waiting"
    assert scene.get(more).listeners[0].matched_count == 2


@pytest.mark.parametrize("where", [None, "event.data.n >= 0"])
def test_waits_that_all_look_back_share_a_transaction_no_longer(
    sqlite_scene: Scene, where: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer has its turn after so many events, and what became of each wait is what becomes of it alone."""
    monkeypatch.setattr(batches, "_LOOKED_AT", 2 * EVENTS)
    scene = sqlite_scene
    ids = record(scene)
    asks = [
        WaitRequest.for_event(
            EventQuery(("email_open",), where=where, match={"n": str(number)}, lookback=HOUR),
            WaitSpec(f"e{number}", contact_id="ada"),
        )
        for number in range(7)
    ]
    with turns_between(scene, lambda: Scene(scene.url).at(5).record(data={"n": 6})) as turns:
        assert scene.waits.create_waits(asks) == CreateTotals(7, 7)
    assert len(turns) >= 3
    for number in range(7):
        (wait,) = scene.waits.get_execution_status(f"e{number}")
        assert (wait.wait.status, wait.wait.resolution_event_id) == ("resumed", ids[number])
