"""Much of everything: no page grows with it, and a list that goes on page by page loses nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.signing import NEW
from tests.web.door import Client, door
from tests.web.test_web_access import HTML
from tests.web.test_web_pages import Stage
from waitctl import DeliveryService, EventService, ReschedulingService, WaitFilter, WaitSpec, make_event
from waitctl.application.events.webhooks import Webhook, WebhookService
from waitctl.application.operations.bulk import BulkService
from waitctl.domain.plans import PlanKind
from waitctl.domain.statuses import DeliveryStatus
from waitctl.infrastructure.providers import Request

MOST = 100_000
"""Bytes of a page."""

MANY = 60
LONG = {
    "markup": {"t": "<&\"'>" * 40_000},
    "keys": {str(number): number for number in range(15_000)},
    "other letters": {"t": "\u00e4\u6f22\U0001f600" * 15_000},
}


@pytest.fixture
def stage(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("HOOK_SECRET", NEW)
    made = Stage(url, tmp_path)
    with made.database:
        yield made


@pytest.fixture
def client(stage: Stage) -> Iterator[Client]:
    with door(stage.settings, allow_actions=True) as made:
        yield made


@pytest.mark.parametrize("data", LONG.values(), ids=LONG)
def test_a_document_that_is_too_long_for_a_page_is_cut_and_says_how_to_see_the_whole(
    stage: Stage, client: Client, data: dict[str, object]
) -> None:
    wait = stage.waits.create_fixed_time_wait("1h", WaitSpec("long", context=data)).wait
    event = EventService(stage.database).record(make_event("form_submit", "ada", data=data)).event_id
    hook = WebhookService(stage.database, stage.settings)
    body = str(data).encode()
    hook.ingest(Request.of(body, [("x-cal-signature-256", "0" * 64)]), Webhook(stage.settings, "calcom"))
    payload = hook.list_quarantined()[0].id
    commands = {
        f"/waits/{wait.id}": f"waitctl status {wait.id} -o json",
        f"/events/{event}": f"waitctl event show {event} -o json",
        f"/quarantine/{payload}": f"waitctl event quarantine show {payload}",
    }
    for path, command in commands.items():
        page = client.get(path, Accept=HTML)
        assert page.status == 200
        assert len(page.body) < MOST, path
        assert f"<em>cut here; the whole: {command}</em>" in page.text, path


def test_what_has_room_is_not_cut(stage: Stage, client: Client) -> None:
    for each in (stage.open, stage.dead, stage.timed):
        assert "cut here" not in client.get(f"/waits/{each.id}", Accept=HTML).text


def test_a_long_trail_is_shown_from_its_end(stage: Stage, client: Client) -> None:
    moving = ReschedulingService(stage.database, actor="test", settings=stage.settings)
    for number in range(MANY):
        moving.reschedule_wait(stage.timed.id, by="+1h" if number % 2 else "-1h", reason=f"because of {number}.")
    page = client.get(f"/waits/{stage.timed.id}", Accept=HTML)
    told = page.text.partition("What happened")[2]
    assert f"<p>Earlier ones: <code>waitctl history {stage.timed.id}</code></p>" in told
    shown = [int(number) for number in re.findall(r"because of (\d+)\.", told)]
    assert shown == list(range(MANY - 50, MANY))
    assert f"<li>then what is not shown here: waitctl explain {stage.timed.id}</li>" in page.text


LISTS = {
    "waits": "/waits",
    "waits by a filter": "/waits?workflow=long",
    "events": "/events",
    "events by a filter": "/events?type=form_submit",
    "deliveries": "/deliveries?status=pending",
    "deliveries that are over": "/deliveries?status=dropped",
    "quarantine": "/quarantine",
    "quarantine by a filter": "/quarantine?source=calcom",
    "plans": "/plans",
}


class Growing:
    """One more of everything, as often as it is asked for."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._hook = WebhookService(stage.database, stage.settings)
        self._events = EventService(stage.database)
        self._number = 0

    def add(self) -> None:
        self._number += 1
        waits = self._stage.waits
        wait = waits.create_fixed_time_wait(
            "1h", WaitSpec(f"e{self._number}", workflow_id="long", handler="other")
        ).wait
        waits.resume_wait(wait.id)
        self._events.record(make_event("form_submit", f"c{self._number}"))
        forged = Request.of(b"%d" % self._number, [("x-cal-signature-256", "0" * 64)])
        self._hook.ingest(forged, Webhook(self._stage.settings, "calcom"))
        BulkService(self._stage.database).plan(PlanKind.CANCEL, WaitFilter(workflow_id="long"))


@pytest.mark.parametrize("path", LISTS.values(), ids=LISTS)
def test_a_list_that_goes_on_shows_all_that_there_was_once(stage: Stage, client: Client, path: str) -> None:
    """While others come: those that were there when one began are each shown once."""
    growing = Growing(stage)
    for _ in range(7):
        growing.add()
    if "dropped" in path:
        deliveries = DeliveryService(stage.database)
        for each in deliveries.list_deliveries([DeliveryStatus.PENDING]):
            deliveries.drop(each.id)
    kind = path[1:].partition("?")[0]

    def rows(text: str) -> list[str]:
        return re.findall(rf'data-label="\w+"><a href="/{kind}/([0-9a-f-]{{36}})"><code>', text)

    everything = rows(client.get(path, Accept=HTML).text)
    assert len(everything) >= 7
    shown, page = list[str](), path + ("&" if "?" in path else "?") + "limit=2"
    while page:
        text = client.get(page, Accept=HTML).text
        if kind == "deliveries":
            text = text.partition('id="list"')[2]
        found = rows(text)
        assert len(found) <= 2, page
        shown += found
        growing.add()
        following = re.search(r'<a rel="next" href="([^"]+)"', text)
        page = following[1].replace("&amp;", "&") if following else ""
    assert shown == everything
