"""The API: the specification's routes, with the documents and the errors of `-o json`."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from prometheus_client.parser import text_string_to_metric_families
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from tests.web.door import JSON, Client, door, settings_of
from waitctl import Database, EventService, WaitSchedulingService, WaitSpec
from waitctl.application.operations.metrics import metrics_text
from waitctl.application.waits.forms import FORMS
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import host_clock
from waitctl.infrastructure.store import ticks
from waitctl.web import create_app
from waitctl.web.bodies import MAX_BODY

WAIT = "/api/v1/workflows/orders/executions/order-17/wait"
STEP = "/api/v1/workflows/executions/order-17/wait/wait"
FIXED = {"type": "fixed-time", "duration": "3d", "handler": "nudge"}
LINES = {"Content-Type": "application/x-ndjson"}


def test_a_wait_is_created_once_looked_at_and_cancelled(client: Client, waits: WaitSchedulingService) -> None:
    created = client.post(WAIT, FIXED)
    assert created.status == 201
    document = created.json
    assert (document.pop("created"), document["workflow_id"], document["handler"]) == (True, "orders", "nudge")
    found = client.get(STEP)
    assert (found.status, found.json) == (200, document)
    assert found.json == waits.get_wait_status(document["id"]).to_json()
    assert created.headers["location"] == f"/api/v1/waits/{document['id']}"
    assert created.headers["etag"] == found.headers["etag"]  # it is good for a change of what was made
    assert client.get(created.headers["location"]).json == document
    assert client.get(f"/api/v1/waits/{document['id'][-12:]}").json == document
    again = client.post(WAIT, FIXED)
    assert (again.status, again.json["created"], again.json["id"]) == (200, False, document["id"])
    assert again.headers["etag"] == found.headers["etag"]
    other = client.post(WAIT, FIXED | {"duration": "4d"})
    assert (other.status, other.code) == (409, "wait_already_open")
    gone = client.ask("DELETE", f"{STEP}?reason=paid")
    assert (gone.status, gone.json["status"]) == (200, "cancelled")
    assert client.ask("DELETE", STEP).status == 200
    late = client.ask("POST", f"/api/v1/workflows/tasks/wait/{document['id']}/resume")
    assert (late.status, late.code) == (409, "illegal_transition")
    [_, line] = waits.get_history(document["id"])
    assert (line.reason, line.actor.partition("@")[0]) == ("paid", "admin")


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"type": "fixed_time", "duration": "3d", "at": "09:00", "tz": "Europe/Berlin"}, {"duration": "3d"}),
        ({"type": "until-date", "date": "2046-12-24 18:00", "dst": "later"}, {"date": "2046-12-24T18:00:00"}),
        ({"type": "until-date", "field": "on", "context": {"on": "2046-12-24"}, "offset": "-2d"}, {"field": "on"}),
        ({"type": "until-time", "time": "09:00", "days": "mon-fri", "late": "fire"}, {"time": "09:00:00"}),
        (
            {
                "type": "for-event",
                "events": "email_open, email_click",
                "contact": "ada",
                "match": {"plan": "pro"},
                "timeout": "2d",
                "lookback": "0",
                "grace": "5m",
                "max-late": "1h",
            },
            {"events": ["email_open", "email_click"], "lookback": "0", "grace": "5m"},
        ),
        ({"type": "fixed-time", "duration": "1mo", "on": "last day", "quiet-hours": "22:00-08:00"}, {"on": "last day"}),
        (
            {
                "type": "for-event",
                "types": ["email_open|email_click", "sms_reply"],
                "all": True,
                "contact": "ada",
                "calendar": "DE",
            }
            | {"timeout": "3bd", "match_json": {"n": [1]}, "handler": {"timeout": "nag"}},
            {"timeout_calendar": "DE", "timeout": "3bd"},
        ),
    ],
)
def test_every_form_of_a_wait_can_be_asked_for(
    client: Client, body: dict[str, object], asked: dict[str, object]
) -> None:
    created = client.post(WAIT, body)
    assert created.status == 201, created
    config = created.json["wait_config"]
    assert {key: config[key] for key in asked} == asked


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_wait_configuration"),
        ({"type": "sometime"}, "invalid_wait_configuration"),
        ({"type": "fixed-time"}, "invalid_wait_configuration"),
        ({"type": "fixed-time", "duration": 3}, "invalid_wait_configuration"),
        ({"type": "fixed-time", "duration": "3 moons"}, "invalid_wait_duration"),
        ({"type": "fixed-time", "duration": "3d", "command": ["rm"]}, "invalid_wait_configuration"),
        ({"type": "fixed-time", "duration": "3d", "context": [1]}, "invalid_wait_configuration"),
        ({"type": "fixed-time", "duration": "3d", "dst": "never"}, "invalid_wait_configuration"),
        ({"type": "fixed-time", "duration": "3d", "tz": "Mars/Base"}, "invalid_timezone"),
        ({"type": "for-event", "events": ["email_open"]}, "invalid_wait_configuration"),
        ({"type": "for-event", "events": ["nothing_such"], "contact": "ada"}, "invalid_event_type"),
        (
            {"type": "for-event", "events": "email_open", "contact": "a", "match": [1]},
            "invalid_wait_configuration",
        ),
        ({"type": "until-time", "time": "25:00"}, "invalid_wait_time"),
        ({"type": "until-date", "date": "2001-01-01"}, "invalid_wait_date"),
    ],
)
def test_a_wait_that_cannot_be_is_refused(client: Client, body: dict[str, object], code: str) -> None:
    refused = client.post(WAIT, body)
    assert (refused.status, refused.code) == (400, code)


def test_a_body_that_is_no_text_is_no_wait_and_no_event(client: Client) -> None:
    for path, code in ((WAIT, "invalid_wait_configuration"), ("/api/v1/events", "invalid_event")):
        refused = client.ask("POST", path, b"{\xff}", JSON)
        assert (refused.status, refused.code) == (400, code)


def test_a_key_creates_once_for_ever_and_a_dry_run_explains(client: Client) -> None:
    dry = client.post(f"{WAIT}?dry_run=true", FIXED)
    assert (dry.status, dry.json["created"], len(dry.json["explanation"]) > 0) == (200, False, True)
    assert client.get(STEP).status == 404
    first = client.post(WAIT, FIXED, Idempotency_Key="k1")
    elsewhere = WAIT.replace("order-17", "order-18")
    assert client.post(elsewhere, FIXED, Idempotency_Key="k1").json["id"] == first.json["id"]
    assert client.post(elsewhere, FIXED | {"duration": "9d"}, Idempotency_Key="k1").status == 409
    assert client.post(elsewhere, FIXED | {"key": "k2"}, Idempotency_Key="k1").status == 400


def test_a_key_that_says_nothing_or_two_things_is_refused(client: Client) -> None:
    """Else a caller whose variable is empty would believe itself safe."""
    body = json.dumps({"type": "fixed-time", "duration": "1h"}).encode()
    given = f"Authorization: Bearer {client.token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    for keys in ("Idempotency-Key:", "Idempotency-Key: a\r\nIdempotency-Key: b"):
        with socket.create_connection(("127.0.0.1", client.port), timeout=60) as connection:
            head = (
                f"POST /api/v1/workflows/w/executions/e/wait HTTP/1.0\r\nHost: localhost\r\n{given}\r\n{keys}\r\n\r\n"
            )
            connection.sendall(head.encode() + body)
            with connection.makefile("rb") as answer:
                assert answer.readline().startswith(b"HTTP/1.1 400"), keys
    assert client.get("/api/v1/waits").json["waits"] == []


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/workflows/executions/e/wait/wait", "DELETE, GET, HEAD"),
        ("/api/v1/waits", "GET, HEAD"),
        ("/api/v1/events", "POST"),
        ("/login", "GET, HEAD, POST"),
        ("/healthz", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_served_names_all_that_are(client: Client, path: str, methods: str) -> None:
    refused = client.ask("PUT", path, "{}", JSON)
    assert (refused.status, refused.headers["allow"]) == (405, methods)


def test_an_etag_says_whether_a_wait_has_changed(client: Client) -> None:
    client.post(WAIT, FIXED)
    found = client.get(STEP)
    tag = found.headers["etag"]
    kept = client.get(STEP, If_None_Match=tag)
    assert (kept.status, kept.body) == (304, b"")
    assert client.ask("DELETE", STEP, headers={"If-Match": '"another"'}).code == "precondition_failed"
    resume = f"/api/v1/workflows/tasks/wait/{found.json['id']}/resume"
    assert client.post(resume, {}, If_Match='"another"').status == 412
    resumed = client.post(resume, {"reason": "they called", "data": {"by": "phone"}}, If_Match=tag)
    assert (resumed.status, resumed.json["resolution"]) == (200, "manual")
    assert client.get(STEP, If_None_Match=tag).status == 200


def test_a_caller_may_let_itself_be_kept_waiting(client: Client, url: str) -> None:
    """By another process's word on PostgreSQL, by looking on SQLite; with the server's end everybody is let go."""
    created = client.post(WAIT, FIXED).json
    assert client.get(f"{STEP}?until=ended&timeout=0").json["status"] == "scheduled"
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(client.get, f"{STEP}?until=ended&timeout=50")
        while not client.site.news._waiting:
            pass
        with Database(url) as other:
            WaitSchedulingService(other).resume_wait(created["id"])
        assert waiting.result().json["status"] == "resumed"
        client.post(WAIT, FIXED)
        for_ever = threads.submit(client.get, f"{STEP}?until=ended&timeout=50")
        while not client.site.news._waiting:
            pass
        client.site.news.stop()
        assert for_ever.result().json["status"] == "scheduled"


def test_ids_may_hold_what_an_address_has_no_place_for(client: Client) -> None:
    for execution, step in (("a/b c", "s?t"), ("ä&€", "100%"), ("..", ".")):
        from urllib.parse import quote

        path = f"/api/v1/workflows/{quote('w/1', safe='')}/executions/{quote(execution, safe='')}/wait"
        created = client.post(path, FIXED | {"step": step})
        assert (created.status, created.json["workflow_execution_id"]) == (201, execution)
        found = client.get(f"/api/v1/workflows/executions/{quote(execution, safe='')}/wait/{quote(step, safe='')}")
        assert found.json["id"] == created.json["id"]


@pytest.mark.parametrize("character", ["%0A", "%0D", "%00", "%C2%85", "%E2%80%A8"])
def test_a_control_character_in_an_id_is_refused_as_one(client: Client, character: str) -> None:
    """Line ends are none to an address either: it is there, and the id is wrong."""
    for identifier in (f"a{character}b", f"a{character}"):
        step = f"/api/v1/workflows/executions/{identifier}/wait/wait"
        asked = [client.post(f"/api/v1/workflows/w/executions/{identifier}/wait", FIXED)]
        asked += [client.ask(method, step) for method in ("GET", "DELETE")]
        assert [(each.status, each.code) for each in asked] == [(400, "invalid_wait_configuration")] * 3


def test_waits_are_listed_by_the_filters_of_the_command_line(client: Client, waits: WaitSchedulingService) -> None:
    for number in range(5):
        waits.create_fixed_time_wait(timedelta(days=number + 1), WaitSpec(f"e{number}", contact_id="Ada@Example.org"))
    first = client.get("/api/v1/waits?contact=ADA@example.org&limit=3&type=fixed-time&status=scheduled").json
    rest = client.get(f"/api/v1/waits?contact=ada@example.org&after={first['next']}").json
    assert [len(first["waits"]), len(rest["waits"]), rest["next"]] == [3, 2, None]
    assert len(client.get("/api/v1/waits?due-before=49h").json["waits"]) == 2
    assert client.get("/api/v1/waits?overdue=true").json["waits"] == []
    assert client.get("/api/v1/admin/workflows/waits/pending").json["open"] == 5
    for query in (
        "status=lost",
        "type=never",
        "overdue=maybe",
        "limit=0",
        "limit=x",
        "stat=waiting",
        "due-before=soon",
    ):
        assert client.get(f"/api/v1/waits?{query}").status == 400, query
    for unknown in ("/api/v1/waits/01a2277bda9b770eb5799a6047400155", STEP):
        assert (client.get(unknown).status, client.get(unknown).code) == (404, "wait_execution_not_found")
    assert client.get("/api/v1/waits/xyz").status == 400


def test_events_are_recorded_one_by_one_in_arrays_and_by_lines(client: Client, events: EventService) -> None:
    one = {"type": "page_visit", "contact": "ada", "id": "1", "data": {"n": 1}, "at": "2026-01-01T00:00:00Z"}
    first, again = client.post("/api/v1/events", one), client.post("/api/v1/events", one)
    assert (first.status, first.json["duplicate"]) == (201, False)
    assert (again.status, again.json["duplicate"], again.json["event_id"]) == (200, True, first.json["event_id"])
    several = client.post("/api/v1/events", [one | {"id": "2"}, {"type": "page_visit"}, 7, one])
    assert several.status == 200
    assert [each["duplicate"] for each in several.json["events"]] == [False, True]
    assert [each["line"] for each in several.json["errors"]] == [2, 3]
    lines = [json.dumps(one | {"id": str(number)}) for number in range(1, 10_001)]
    lines[9_998] = "{broken"
    stream = client.ask("POST", "/api/v1/events", "\n".join(lines), LINES)
    assert stream.status == 200
    counts = {key: stream.json[key] for key in ("received", "recorded", "duplicates", "rejected")}
    assert counts == {"received": 10_000, "recorded": 9_997, "duplicates": 2, "rejected": 1}
    assert [each["line"] for each in stream.json["errors"]] == [9_999]
    assert len(events.list_events(limit=10_000)) == 9_999


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("{", 400, "invalid_event"),
        ("[" * 100_000, 400, "invalid_event"),
        ('"text"', 400, "invalid_event"),
        ('{"type": "page_visit"}', 400, "invalid_event"),
        ('{"type": "page_visit", "contact": "a", "x": 1}', 400, "invalid_event"),
        ('{"type": "page_visit", "contact": 7}', 400, "invalid_event"),
        ('{"type": "page_visit", "contact": "a", "data": [1]}', 400, "invalid_event"),
        ('{"type": "no_such", "contact": "a"}', 400, "invalid_event_type"),
        ('{"type": "page_visit", "contact": "a", "at": "yesterday"}', 400, "invalid_wait_date"),
        (json.dumps([0] * 1001), 400, "invalid_event"),
        (b"\xff", 400, "invalid_event"),
        (b" " * (MAX_BODY + 1), 413, "too_large"),
    ],
)
def test_what_is_no_event_is_refused(client: Client, body: str | bytes, status: int, code: str) -> None:
    refused = client.ask("POST", "/api/v1/events", body, JSON)
    assert (refused.status, refused.code) == (status, code)


def test_a_form_of_another_site_is_no_json(client: Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        for path in ("/api/v1/events", WAIT):
            assert client.ask("POST", path, "{}", {"Content-Type": kind}).status == 415
    assert client.ask("PUT", "/api/v1/events", "{}", JSON).status == 405
    assert client.get("/api/v1/nothing").code == "not_found"


def test_a_database_that_is_away_is_told_and_comes_back(tmp_path: Path, migrated_sqlite_url: str) -> None:
    file, aside = tmp_path / "waits.db", tmp_path / "aside.db"
    with door(settings_of(migrated_sqlite_url, tmp_path)) as client:
        assert client.get("/api/v1/waits").status == 200
        file.rename(aside)
        away = client.get("/api/v1/waits")
        assert (away.status, away.headers["retry-after"]) == (503, "5")
        assert client.get("/healthz").json["status"] in {"database_away", "no_tick"}
        aside.rename(file)
        assert client.get("/api/v1/waits").status == 200


def test_a_tick_in_the_future_is_no_health(tmp_path: Path, migrated_sqlite_url: str) -> None:
    """No other runs then."""
    with Database(migrated_sqlite_url) as database:
        at = host_clock() + timedelta(hours=3)
        database.write(lambda it: ticks.insert_tick(it, host="a", pid=7, started_at=at, as_of=None, handlers=()))
    with door(settings_of(migrated_sqlite_url, tmp_path)) as client:
        answer = client.get("/healthz")
        assert (answer.status, answer.json["status"]) == (503, "clock_behind")


def test_the_metrics_are_those_of_the_command(client: Client) -> None:
    answer = client.get("/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = [family.name for family in text_string_to_metric_families(answer.text)]
    printed = metrics_text(client.site.settings, client.site.database)
    assert found == [family.name for family in text_string_to_metric_families(printed)]
    assert {"waitctl_waits", "waitctl_resolved", "waitctl_lateness_seconds", "waitctl_orphans"} <= set(found)


def test_the_description_is_what_is_served(client: Client) -> None:
    document = client.get("/openapi.json").json
    routes = {path for path in document["paths"] if path.startswith("/api/")}
    app = create_app(Settings("sqlite:////nowhere/x.db"))
    addresses = {route.path for route in app.routes if isinstance(route, Route)}
    served = {address.replace(":waitctl_id", "") for address in addresses if address.startswith("/api/")}
    assert routes == served
    titles = [each["title"] for each in document["components"]["schemas"]["NewWait"]["oneOf"]]
    assert titles == list(FORMS)


def test_what_a_generator_makes_of_the_description_meets_no_surprise(tmp_path: Path, migrated_sqlite_url: str) -> None:
    """Schemathesis: what fits the schemas and what does not, and every answer is one that the description names."""
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    with door(settings_of(migrated_sqlite_url, tmp_path)) as client:
        address = f"http://127.0.0.1:{client.port}"
        schema: Any = schemathesis.openapi.from_url(f"{address}/openapi.json")
        seen = 0
        for found in schema.get_all_operations():
            operation = found.ok()

            @settings(
                max_examples=10,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def look(case: Any) -> None:
                case.query.pop("until", None)  # it would wait
                answer = case.call(base_url=address, headers={"Authorization": f"Bearer {client.token}"})
                case.validate_response(answer, checks=checks)

            look()
            seen += 1
        assert seen == 8
