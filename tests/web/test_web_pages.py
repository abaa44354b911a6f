"""The pages: what they show, that nothing that somebody wrote is markup, and that they are quick and small."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.signing import NEW, OLD, signed
from tests.web.door import TOKENS, Client, door, serving, settings_of
from tests.web.test_web_access import HTML, browser, csrf_in, submit
from waitctl import (
    Database,
    EventQuery,
    EventService,
    PauseService,
    Tick,
    WaitFilter,
    WaitRequest,
    WaitSchedulingService,
    WaitSpec,
    make_event,
)
from waitctl.application.events.webhooks import Webhook, WebhookService
from waitctl.application.operations.bulk import BulkService
from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.handlers import ExecConfig, HandlerConfig
from waitctl.domain.pauses import PauseKind
from waitctl.domain.plans import PlanKind
from waitctl.infrastructure.config import SourceConfig
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.providers import Request
from waitctl.web import actions, create_app
from waitctl.web.actions import MOST_AT_ONCE

HOUR = timedelta(hours=1)
EVIL = "<script>alert(1)</script>\"'&"


class Markup(HTMLParser):
    """Every tag of a page with its attributes, and every address that it names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    @property
    def addresses(self) -> set[str]:
        return {
            attributes[name] or ""
            for _, attributes in self.tags
            for name in ("href", "src", "action", "formaction", "data-live")
            if name in attributes
        }


class Stage:
    """A database in which everything there is has happened, to people of bad names."""

    def __init__(self, url: str, folder: Path) -> None:
        self.settings = settings_of(
            url,
            folder,
            sources={"calcom": SourceConfig("calcom", format="calcom", secret_env=("HOOK_SECRET",), verify=True)},
            handlers={
                "nudge": HandlerConfig(
                    "nudge", ExecConfig(("sh", "-c", "echo no stamps; exit 1")), retry=RetryPolicy(max_attempts=1)
                )
            },
        )
        self.database = Database(url)
        waits = WaitSchedulingService(self.database, actor="test", settings=self.settings)
        events = EventService(self.database, actor="test", settings=self.settings)
        self.dead = waits.create_fixed_time_wait(
            "1s", WaitSpec("order-17", handler="nudge"), base=waits_now(self.database) - timedelta(hours=1)
        ).wait
        self.open = waits.create_event_wait(
            EventQuery(("email_open",), match={"plan": "pro"}, where="event.data.n > 3"),
            WaitSpec(EVIL, step_id=EVIL, workflow_id=EVIL, contact_id=EVIL, handler=EVIL, context={"a": EVIL}),
        ).wait
        self.event_id = events.record(make_event("email_open", EVIL, data={"plan": EVIL}, source=EVIL)).event_id
        self.timed = waits.create_fixed_time_wait("3h", WaitSpec("order-18", handler="nudge")).wait
        PauseService(self.database, actor="test").pause(PauseKind.WORKFLOW, EVIL, reason=EVIL)
        hook = WebhookService(self.database, self.settings)
        forged = signed("calcom", waits_now(self.database), OLD, EVIL.encode())
        hook.ingest(Request.of(forged.body, forged.headers, None), Webhook(self.settings, "calcom"))
        [self.payload] = hook.quarantined_ids()
        Tick(self.database, self.settings).run()
        [delivery] = waits.get_wait_status(self.dead.id).wait.deliveries
        self.delivery = delivery.id
        self.waits = waits
        bulk = BulkService(self.database, actor=EVIL, settings=self.settings)
        self.plan = bulk.plan(PlanKind.CANCEL, WaitFilter(workflow_id=EVIL), reason=EVIL)

    def pages(self) -> list[str]:
        return [
            "/",
            "/?tz=Asia/Kathmandu",
            "/waits",
            "/waits?status=waiting&type=for-event&due-before=&contact=",
            f"/waits/{self.open.id}",
            f"/waits/{self.dead.id}",
            f"/waits/{self.timed.id[-12:]}",
            "/events",
            "/events?unmatched=true&since=-2h",
            f"/events/{self.event_id}",
            "/deliveries",
            "/deliveries?status=pending",
            f"/deliveries/{self.delivery}",
            "/calendars?like=de-",
            "/calendars/DE-BY?year=2026",
            "/quarantine",
            f"/quarantine/{self.payload}",
            "/plans",
            f"/plans/{self.plan.id}",
            "/nothing",
            "/waits/12345678",
            "/waits?nonsense=1",
        ]


def waits_now(database: Database) -> datetime:
    with database.read() as connection:
        return database.clock(connection)


@pytest.fixture
def stage(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("HOOK_SECRET", NEW)
    made = Stage(url, tmp_path)
    with made.database:
        yield made


def test_every_page_shows_what_there_is_and_nothing_that_somebody_wrote_is_markup(stage: Stage) -> None:
    with door(stage.settings, allow_actions=True, token=None) as client:
        headers = browser(client, TOKENS["admin"])
        for path in stage.pages():
            page = client.ask("GET", path, headers=headers)
            status = {"/nothing": 404, "/waits/12345678": 404, "/waits?nonsense=1": 400}.get(path, 200)
            assert page.status == status, (path, page)
            assert len(page.body) < 100_000, path
            assert "<script>alert" not in page.text, path
            markup = Markup(page.text)
            for tag, attributes in markup.tags:
                assert not [name for name in attributes if name.startswith("on") or name == "style"], (path, tag)
            assert [attributes.get("src") for tag, attributes in markup.tags if tag == "script"] in (
                [],
                ["/static/live.js"],
            )
            for address in markup.addresses:
                assert address.startswith(("/", "#", "?")) or address == "", (path, address)
            identifiers = [attributes["id"] for _, attributes in markup.tags if "id" in attributes]
            assert len(identifiers) == len(set(identifiers)), path


STORIES = {
    "/": ["Deliveries by handler", "nudge", "In quarantine", "Paused: workflow"],
    "/waits?execution=order-17": ["order-17", "status error"],
    "/waits/{open}": ["email_open", "What it waits for", "Events that nearly ended it", "plan=pro"],
    "/waits/{dead}": ["fixed-time 1s", "What happened", "Deliveries", "dead"],
    "/events/{event}": ["Near misses", "no wait", "match: plan"],
    "/deliveries": ["By handler", "Dead", "nudge"],
    "/deliveries/{delivery}": ["Last error", "1 of 1", "Output of attempt 1", "no stamps"],
    "/calendars/DE-BY?year=2026": ["Holidays", "January", "2026-01-06"],
    "/plans": ["cancel", "planned"],
    "/plans/{plan}": ["Plan to cancel 1 wait", "Expires", "workflow_id"],
    "/quarantine/{payload}": ["invalid_signature, from calcom", "Body"],
}


def test_each_page_tells_its_story(stage: Stage) -> None:
    ids = {"event": stage.event_id, "delivery": stage.delivery, "payload": stage.payload}
    ids |= {"open": stage.open.id, "dead": stage.dead.id, "plan": stage.plan.id}
    with door(stage.settings) as client:
        for path, words in STORIES.items():
            text = client.get(path.format(**ids), Accept=HTML).text
            assert [word for word in words if word not in text] == [], path


def test_every_link_of_every_page_leads_somewhere_under_a_path_of_a_proxy(stage: Stage) -> None:
    """Mounted in somebody's own application: every address that a page names is there."""
    mounted = create_app(stage.settings, allow_actions=True)
    with serving(Starlette(routes=[Mount("/ops/waits", mounted)])) as port, closing(mounted.state.site):
        client = Client(port, TOKENS["admin"])
        seen, left = set[str](), ["/ops/waits/"]
        while left and len(seen) < 60:
            address = left.pop()
            seen.add(address)
            answer = client.get(address, Accept=HTML)
            assert answer.status == 200, address
            if answer.headers["content-type"].startswith("text/html"):
                found = Markup(answer.text).addresses
                assert all(each.startswith("/ops/waits/") or each in {"", "#main"} for each in found), (address, found)
                links = {
                    each for each in found if each and each[0] == "/" and not re.search(r"/(live|logout)$|year=", each)
                }
                left += sorted(
                    each
                    for each in links - seen - set(left)
                    if not re.search(
                        r"/(retry|drop|cancel|resume|replay|reschedule|retry-dead|apply|undo)$|/plans/new", each
                    )
                )
        assert len(seen) > 25


def test_what_a_person_changes_is_changed_and_said(stage: Stage) -> None:
    with door(stage.settings, allow_actions=True, token=None) as client:
        headers = browser(client, TOKENS["writer"])

        def act(page: str, path: str, **fields: str) -> str:
            csrf = csrf_in(client.ask("GET", page, headers=headers))
            done = submit(client, path, headers, csrf=csrf, **fields)
            assert done.status == 303, done
            return client.ask("GET", done.headers["location"], headers=headers).text

        page = f"/waits/{stage.timed.id}"
        assert "has another instant" in act(page, f"{page}/reschedule", by="+2h", at="")
        assert "is resumed" in act(page, f"{page}/resume", reason="they called")
        assert stage.waits.get_wait_status(stage.timed.id).wait.resolution == "manual"
        assert "tried again" in act(f"/deliveries/{stage.delivery}", f"/deliveries/{stage.delivery}/retry")
        assert stage.waits.get_wait_status(stage.dead.id).wait.status == "resumed"
        assert "dropped" in act(f"/deliveries/{stage.delivery}", f"/deliveries/{stage.delivery}/drop")
        kept = f"/quarantine/{stage.payload}"
        assert "refused again" in act(kept, f"{kept}/replay")
        assert "dropped" in act(kept, f"{kept}/drop")
        csrf = csrf_in(client.ask("GET", f"/waits/{stage.open.id}", headers=headers))
        both = submit(client, f"/waits/{stage.open.id}/reschedule", headers, csrf=csrf, at="09:00", by="+1h")
        assert (both.status, "either an instant or a span" in both.text) == (400, True)
        late = submit(client, f"{page}/cancel", headers, csrf=csrf)
        assert late.status == 409
        everything = submit(client, "/deliveries/retry-dead", headers, csrf=csrf)
        assert everything.headers["location"] == "/deliveries?done=retried"


def test_many_waits_are_planned_applied_and_undone(stage: Stage) -> None:
    with door(stage.settings, allow_actions=True, token=None) as client:
        headers = browser(client, TOKENS["writer"])
        assert "Change all of these" not in client.ask("GET", "/waits", headers=headers).text, "no filter"
        page = client.ask("GET", "/waits?execution=order-18&status=scheduled&status=waiting", headers=headers)
        [new] = [address for address in Markup(page.text).addresses if address.startswith("/plans/new?")]
        csrf = csrf_in(page)

        def act(path: str, **fields: str) -> str:
            done = submit(client, path, headers, csrf=csrf, **fields)
            assert done.status == 303, done
            return done.headers["location"]

        address = act(new, action="reschedule", by="+2h", at="", spread="", reason="they asked")
        shown = client.ask("GET", address, headers=headers).text
        assert "nothing has been changed yet" in shown and "Apply it to 1 wait" in shown
        plan = address.partition("?")[0]
        before = stage.waits.get_wait_status(stage.timed.id).wait
        assert before.scheduled_at == stage.timed.scheduled_at
        assert submit(client, f"{plan}/apply", headers, csrf=csrf, max="0").status == 409
        shown = client.ask("GET", act(f"{plan}/apply", max="1"), headers=headers).text
        assert "The plan is applied" in shown and "Undo it" in shown
        moved = stage.waits.get_wait_status(stage.timed.id).wait
        assert (moved.scheduled_at or before.created_at) - (before.scheduled_at or before.created_at) == 2 * HOUR
        assert stage.waits.get_history(stage.timed.id)[-1].actor.startswith("writer@")
        assert submit(client, f"{plan}/apply", headers, csrf=csrf, max="1").status == 409
        shown = client.ask("GET", act(f"{plan}/undo"), headers=headers).text
        assert "The plan is undone" in shown and "Undo it" not in shown
        assert stage.waits.get_wait_status(stage.timed.id).wait.scheduled_at == before.scheduled_at
        for wrong in ("/plans/new", "/plans/new?nonsense=1"):
            assert submit(client, wrong, headers, csrf=csrf, action="cancel").status == 400
        for fields in ({"action": "destroy"}, {"action": "replan"}, {"action": "reschedule"}, {}):
            assert submit(client, new, headers, csrf=csrf, **fields).status == 400
        assert submit(client, new, headers, csrf="x", action="cancel").status == 403
        reader = browser(client, TOKENS["reader"])
        assert submit(client, f"{plan}/undo", reader, csrf=csrf).status == 403


def test_a_plan_of_too_many_is_for_the_command_line(stage: Stage) -> None:
    """None is made, and one that is there is neither applied nor undone by a request; both say what does it."""
    many = WaitFilter(workflow_id="many")
    requests = (WaitRequest.fixed_time("1d", WaitSpec(f"m{n}", workflow_id="many")) for n in range(MOST_AT_ONCE + 1))
    assert stage.waits.create_waits(requests).created == MOST_AT_ONCE + 1
    with door(stage.settings, allow_actions=True, token=None) as client:
        headers = browser(client, TOKENS["writer"])
        page = client.ask("GET", "/waits?workflow=many", headers=headers)
        [new] = [address for address in Markup(page.text).addresses if address.startswith("/plans/new?")]
        csrf = csrf_in(page)
        before = BulkService(stage.database).list_plans()
        refused = submit(client, new, headers, csrf=csrf, action="cancel")
        assert refused.status == 409
        assert "ore than 10,000 waits are meant, and the dashboard plans no more" in refused.text
        assert "waitctl bulk cancel" in refused.text
        assert BulkService(stage.database).list_plans() == before
        plan = BulkService(stage.database).plan(PlanKind.CANCEL, many)
        shown = client.ask("GET", f"/plans/{plan.id}", headers=headers).text
        assert f"waitctl bulk apply {plan.id}" in shown and "Apply it" not in shown
        for verb in ("apply", "undo"):
            done = submit(client, f"/plans/{plan.id}/{verb}", headers, csrf=csrf, max=str(plan.matched))
            assert (done.status, f"waitctl bulk {verb} {plan.id}" in done.text) == (409, True)
        assert BulkService(stage.database).get_plan(plan.id).status == "planned"


def test_too_many_dead_deliveries_are_for_the_command_line(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request retries none of them, and says what does."""
    monkeypatch.setattr(actions, "MOST_AT_ONCE", 0)
    with door(stage.settings, allow_actions=True, token=None) as client:
        headers = browser(client, TOKENS["writer"])
        csrf = csrf_in(client.ask("GET", f"/waits/{stage.open.id}", headers=headers))
        for fields, said in (({}, "--all-dead"), ({"handler": "nudge"}, "--handler nudge")):
            refused = submit(client, "/deliveries/retry-dead", headers, csrf=csrf, **fields)
            assert (refused.status, f"waitctl delivery retry {said}" in refused.text) == (409, True)
        assert stage.waits.get_wait_status(stage.dead.id).wait.status == "error"
        assert submit(client, "/deliveries/retry-dead", headers, csrf=csrf, handler="other").status == 303


def test_a_row_that_something_else_has_written_is_shown(stage: Stage) -> None:
    parameter = ":config" if stage.database.is_sqlite else "%(config)s"
    update = f"UPDATE workflow_wait_executions SET wait_config = {parameter}"
    with door(stage.settings) as client:
        for config in ("{}", "[]", '"3d"', '{"events": 7, "duration": [], "window": {}, "rescheduled": 1}'):
            stage.database.write(partial(Connection.execute, statement=update, parameters={"config": config}))
            for wait in (stage.open, stage.dead, stage.timed):
                page = client.get(f"/waits/{wait.id}", Accept=HTML)
                assert (page.status, "cannot be read" in page.text) == (200, True), (config, page.text)
            for path in ("/", "/waits", "/api/v1/waits", f"/events/{stage.event_id}"):
                assert client.get(path).status == 200, (config, path)


def test_a_part_can_be_served_by_itself(stage: Stage) -> None:
    for part, there in (("hooks", "/hooks/calcom"), ("api", "/api/v1/waits"), ("dashboard", "/waits")):
        with door(stage.settings, only=[part]) as client:
            found = {path for path in ("/hooks/calcom", "/api/v1/waits", "/waits") if client.get(path).status != 404}
            assert found == {there}
            assert client.get("/healthz").status == 200


def test_the_application_of_this_hosts_settings_is_made_when_it_is_asked_for(
    migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITCTL_DATABASE_URL", migrated_sqlite_url)
    config = uvicorn.Config("waitctl.web:app", log_config=None)
    config.load()
    import waitctl.web

    with serving(waitctl.web.app) as port:
        assert Client(port).get("/waits").status == 200
    vars(waitctl.web).pop("app")
    assert not hasattr(waitctl.web, "nothing")
