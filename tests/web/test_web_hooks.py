"""Hooks over HTTP: every provider's fixture, what is refused, and what is stored together."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from select import select
from typing import Any

import pytest
from starlette.requests import Request

from tests.signing import NEW, OLD, SENDERS, URL, Signed, signed
from tests.web.door import JSON, PATIENCE, TOKENS, Answer, Client, door, settings_of
from waitctl import Database, EventQuery, EventService, WaitSchedulingService, WaitSpec
from waitctl.application.events import webhooks
from waitctl.application.events.webhooks import WebhookService
from waitctl.domain.events import EventType
from waitctl.infrastructure.config import Settings, SourceConfig
from waitctl.infrastructure.providers import names
from waitctl.web import bodies

AT = datetime(2026, 1, 1, 9, tzinfo=UTC)


def sources(folder: Path, *chosen: str) -> dict[str, SourceConfig]:
    found = {}
    for name in chosen or names():
        file = folder / f"{name}.secret"
        file.write_text(SENDERS[name].secret(NEW))
        file.chmod(0o600)
        found[name] = SourceConfig(name, format=name, secret_file=(str(file),), url=URL)
    return found


@pytest.fixture
def settings(url: str, tmp_path: Path) -> Settings:
    return settings_of(url, tmp_path, sources=sources(tmp_path), as_of=AT)


@pytest.fixture
def hooks(settings: Settings) -> Iterator[Client]:
    with door(settings, token=None) as client:
        yield client


def send(client: Client, name: str, request: Signed, **headers: str) -> Answer:
    given = request.headers | {key.replace("_", "-"): value for key, value in headers.items()}
    return client.ask("POST", f"/hooks/{name}", request.body, given)


def test_what_each_provider_sends_is_taken_once_and_what_it_did_not_send_is_kept_apart(
    hooks: Client, events: EventService, database: Database, settings: Settings
) -> None:
    types = {sender.first[0] for sender in SENDERS.values()} - set(EventType)
    for kind in types:
        events.add_type(kind)
    for name in names():
        first, again = (send(hooks, name, signed(name, AT)) for _ in range(2))
        recorded = SENDERS[name].recorded
        if name == "twilio":
            for answer in (first, again):
                assert (answer.status, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
                assert answer.text.endswith("<Response/>")
        else:
            assert (first.status, first.json["recorded"], first.json["duplicates"]) == (202, recorded, 0), (name, first)
            assert (again.status, again.json["recorded"], again.json["duplicates"]) == (202, 0, recorded), (name, again)
        forged = send(hooks, name, signed(name, AT, OLD))
        assert (forged.status, forged.code) == (401, "invalid_signature"), (name, forged)
        assert len(forged.json["quarantined"]) == 1, (name, forged)
    kept = WebhookService(database, settings).list_quarantined(limit=100)
    assert sorted(row.source for row in kept) == sorted(names())
    assert len(events.list_events(limit=100)) == sum(SENDERS[name].recorded for name in names())


def test_an_event_resumes_its_wait_before_it_is_answered(hooks: Client, url: str) -> None:
    query, spec = EventQuery(("appointment_booked",)), WaitSpec("e", contact_id="ada@example.org")
    with Database(url, as_of=AT) as database:
        waits = WaitSchedulingService(database)
        wait = waits.create_event_wait(query, spec).wait
        assert send(hooks, "calcom", signed("calcom", AT)).json["matched"] == 1
        assert waits.get_wait_status(wait.id).wait.resolution == "event"


def test_what_arrives_together_is_stored_together_and_each_is_told_its_own(
    hooks: Client, events: EventService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is held up until the others are there: they share the next transaction."""
    together, whole = list[int](), WebhookService.ingest_together
    entered, held = threading.Event(), threading.Event()

    def ingest(self: WebhookService, arrived: Any) -> Any:
        together.append(len(arrived))
        entered.set()
        held.wait(PATIENCE)
        return whole(self, arrived)

    monkeypatch.setattr(WebhookService, "ingest_together", ingest)
    good = signed("calcom", AT)
    requests = [signed("calcom", AT, OLD), good, good, Signed(good.body, {}), signed("typeform", AT)]
    targets = ["calcom", "calcom", "calcom", "calcom", "typeform"]
    with ThreadPoolExecutor(6) as threads:
        first = threads.submit(send, hooks, "postmark", signed("postmark", AT))
        assert entered.wait(PATIENCE)
        later = [threads.submit(send, hooks, *pair) for pair in zip(targets, requests, strict=True)]
        while len(hooks.site.hooks._waiting) < 5:
            assert not first.done()
        held.set()
        answers = [each.result() for each in later]
        assert first.result().json["recorded"] == 1
    assert together == [1, 5]
    assert [answer.status for answer in answers] == [401, 202, 202, 401, 202]
    assert sorted((answer.json["recorded"], answer.json["duplicates"]) for answer in answers[1:3]) == [(0, 1), (1, 0)]
    assert len(events.list_events()) == 3


def test_what_nobody_foresaw_in_one_request_costs_the_others_nothing(
    hooks: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = webhooks.Webhook.judge

    def poisoned(self: Any, request: Any, *rest: Any, **more: Any) -> Any:
        if b"poison" in request.body:
            raise ZeroDivisionError
        return judge(self, request, *rest, **more)

    monkeypatch.setattr(webhooks.Webhook, "judge", poisoned)
    with ThreadPoolExecutor(8) as threads:
        bad = [threads.submit(send, hooks, "calcom", Signed(b"poison", {})) for _ in range(3)]
        good = [threads.submit(send, hooks, "calcom", signed("calcom", AT)) for _ in range(3)]
    assert {each.result().status for each in bad} == {500}
    assert bad[0].result().code == "internal"
    assert {each.result().status for each in good} == {202}


def test_what_cannot_be_a_hook_is_refused(hooks: Client) -> None:
    calcom = signed("calcom", AT)
    assert send(hooks, "nobody", calcom).code == "unknown_source"
    assert send(hooks, "nobody", calcom).status == 404
    assert hooks.ask("GET", "/hooks/calcom").status == 405
    assert send(hooks, "calcom", calcom, Content_Type="text/html").status == 415
    assert send(hooks, "calcom", calcom, Content_Type="application/json; charset=utf-8").status == 202
    unsigned = hooks.ask("POST", "/hooks/calcom", calcom.body, JSON)
    assert (unsigned.status, unsigned.code) == (401, "invalid_signature")
    largest = hooks.ask("POST", "/hooks/calcom", b" " * bodies.MAX_BODY, JSON)
    assert largest.status == 401
    too_large = hooks.ask("POST", "/hooks/calcom", b" " * (bodies.MAX_BODY + 1), JSON)
    assert (too_large.status, too_large.code) == (413, "too_large")


def test_a_body_that_does_not_say_how_long_it_is_is_cut_off(hooks: Client) -> None:
    with socket.create_connection(("127.0.0.1", hooks.port)) as connection:
        connection.sendall(b"POST /hooks/calcom HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        for _ in range(17):
            connection.sendall(chunk)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_come_is_not_waited_for(hooks: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
    with socket.create_connection(("127.0.0.1", hooks.port)) as connection:
        connection.sendall(b"POST /hooks/calcom HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("coding", ["gzip", "br", "GZIP, identity", "deflate"])
def test_a_body_that_is_compressed_is_said_to_be(hooks: Client, coding: str) -> None:
    """It cannot be verified, and would be kept as bytes that mean nothing to whoever looks."""
    for path, kind in (
        ("/hooks/standardwebhooks", "application/json"),
        ("/api/v1/events", "application/json"),
        ("/api/v1/events", "application/x-ndjson"),
        ("/api/v1/workflows/w/executions/e/wait", "application/json"),
    ):
        headers = {"Content-Type": kind, "Content-Encoding": coding}
        refused = hooks.with_token(TOKENS["admin"]).ask("POST", path, gzip.compress(b"{}"), headers)
        assert (refused.status, refused.code) == (415, "unsupported_content_encoding"), path
        assert refused.headers["accept-encoding"] == "identity"


def test_whoever_sends_slowly_takes_the_place_of_nobody_but_himself(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's bodies that never come, beside one of somebody else's that comes at last."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 600.0)
    few = replace(settings, serve=replace(settings.serve, max_requests=8))
    with door(few, token=None) as client, ExitStack() as stack:

        def begin(address: str) -> socket.socket:
            made = stack.enter_context(socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE))
            head = f"POST /hooks/calcom HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\n"
            made.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{".encode())
            return made

        honest = begin("198.51.100.1")
        slow = [begin("203.0.113.7") for _ in range(5)]  # which makes six: as many as are waited for
        for _ in range(6):
            slow.append(begin("203.0.113.7"))
            given_up, _, _ = select([honest, *slow], [], [], PATIENCE)
            assert [each.recv(65536).partition(b"\r\n")[0] for each in given_up] == [b"HTTP/1.1 408 Request Timeout"]
            (gone,) = given_up
            slow.remove(gone)
        assert client.get("/healthz").status in {200, 503}
        assert client.ask("POST", "/hooks/calcom", b"{}", JSON).status == 401, "what comes at once is judged"
        honest.sendall(b"}")
        assert honest.recv(65536).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        (("203.0.113.7", 5000), ["198.51.100.1"], "203.0.113.7"),
        (("198.51.100.1", 0), ["198.51.100.1"], "198.51.100.1"),
        (("6.6.6.6", 0), ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        (("6.6.6.6", 0), ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        (("2001:db8:1:2::1", 5000), [], "2001:db8:1:2::9"),
        (None, [], ""),
    ],
)
def test_an_address_is_what_the_nearest_proxy_says_it_is(
    client: tuple[str, int] | None, forwarded: list[str], address: str
) -> None:
    def asked(who: object, headers: list[str]) -> Request:
        given = [(b"x-forwarded-for", value.encode()) for value in headers]
        return Request({"type": "http", "client": who, "headers": given})

    assert bodies.address_of(asked(client, forwarded)) == bodies.address_of(asked((address, 1), []))


def test_a_body_that_is_no_json_goes_to_quarantine(hooks: Client) -> None:
    for name in ("calcom", "typeform"):
        broken = send(hooks, name, signed(name, AT, NEW, b'{"triggerEvent": '))
        assert (broken.status, broken.code) == (400, "invalid_event")
        assert len(broken.json["quarantined"]) == 1


def test_handshakes_are_answered(hooks: Client) -> None:
    offered = hooks.ask("OPTIONS", "/hooks/cloudevents", headers={"WebHook-Request-Origin": "events.example.org"})
    assert offered.status == 200
    assert offered.headers["webhook-allowed-origin"] == "events.example.org"
    assert offered.headers["webhook-allowed-rate"] == "*"
    challenge = {"type": "url_verification", "challenge": "3eZbrw1aB<script>", "token": "x"}
    answer = hooks.post("/hooks/cloudevents", challenge)
    assert (answer.status, answer.text) == (200, "3eZbrw1aB<script>")
    assert (answer.headers["content-type"], answer.headers["x-content-type-options"]) == (
        "text/plain; charset=utf-8",
        "nosniff",
    )


@pytest.mark.parametrize("challenge", [{"challenge": 7}, {"challenge": None}, {}])
def test_what_only_looks_like_a_handshake_is_a_hook(hooks: Client, challenge: dict[str, object]) -> None:
    assert hooks.post("/hooks/cloudevents", {"type": "url_verification", **challenge}).status == 401


def test_a_source_without_a_secret_takes_a_token_unless_the_config_says_that_anybody_may_send(
    url: str, tmp_path: Path
) -> None:
    given = {
        "lines": SourceConfig("lines", format="ndjson"),
        "open": SourceConfig("open", format="ndjson", verify=False),
    }
    line = json.dumps({"type": "page_visit", "contact": "ada", "id": "1"})
    lines = {"Content-Type": "application/x-ndjson"}
    with door(settings_of(url, tmp_path, sources=given), token=None) as client:
        assert client.ask("POST", "/hooks/lines", line, lines).status == 401
        assert client.with_token("reader-token-of-16-characters").ask("POST", "/hooks/lines", line, lines).status == 403
        assert client.with_token("sender-token-of-16-characters").ask("POST", "/hooks/lines", line, lines).status == 202
        assert client.ask("POST", "/hooks/open", line + '\n{"type": 7}\n\nx', lines).json == {
            **dict.fromkeys(("duplicates", "ignored", "matched", "without_id"), 0),
            "received": 3,
            "recorded": 1,
            "rejected": 2,
            "errors": [
                {"line": 2, "error": {"code": "invalid_event", "message": "'contact' is missing", "hint": None}},
                {
                    "line": 4,
                    "error": {
                        "code": "invalid_event",
                        "message": "the line is not valid JSON: Expecting value at character 1",
                        "hint": None,
                    },
                },
            ],
        }


def test_a_source_that_is_not_set_up_here_may_be_sent_to_later(url: str, tmp_path: Path) -> None:
    given = {"calcom": SourceConfig("calcom", format="calcom", secret_env=("NOT_SET",))}
    with door(settings_of(url, tmp_path, sources=given)) as client:
        answer = send(client, "calcom", signed("calcom", AT))
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "not_configured", "5")
        assert "NOT_SET" not in answer.text


def test_nobody_hears_what_is_wrong_with_a_secret(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOO_SHORT", "whsec_AAAA")
    given = {"lines": SourceConfig("lines", format="standardwebhooks", secret_env=("TOO_SHORT",))}
    with door(settings_of(url, tmp_path, sources=given)) as client:
        headers = {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,x"}
        answer = client.ask("POST", "/hooks/lines", "{}", headers | {"content-type": "application/json"})
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "not_configured", "5")
        assert "short" not in answer.text and "bytes" not in answer.text
