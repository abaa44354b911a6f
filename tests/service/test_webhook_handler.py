"""Webhooks to a real server: what is sent, what the answer means, and what a server may do to us."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.receiver import OK, Receiver, Reply, answer, drip, reset, self_signed
from tests.scene import MINUTE, NOON, Scene
from waitctl import Settings, Tick, TickOptions
from waitctl.domain.deliveries import Delivered, Delivery, Failed, RetryPolicy
from waitctl.domain.handlers import HandlerConfig, WebhookConfig
from waitctl.infrastructure.database import host_clock
from waitctl.infrastructure.handlers import Payload
from waitctl.infrastructure.handlers.webhook import WebhookHandler

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def post_to(scene: Scene, url: str, *, timeout: float = 20, concurrency: int = 1, **where: str | None) -> None:
    scene.handlers["hook"] = HandlerConfig(
        "hook",
        WebhookConfig(url, **where),
        timeout=timedelta(seconds=timeout),
        concurrency=concurrency,
        retry=RetryPolicy(backoff=timedelta(minutes=1)),
    )


def due(scene: Scene, number: int = 1) -> list[str]:
    made = [scene.create(execution=f"e{each}", handler="hook").wait.id for each in range(number)]
    for wait_id in made:
        scene.waits.resume_wait(wait_id)
    return made


def tried(scene: Scene) -> Delivery:
    """The one delivery, after one tick."""
    (wait_id,) = due(scene)
    scene.tick()
    (delivery,) = scene.get(wait_id).deliveries
    return delivery


def test_what_is_sent(scene: Scene, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    post_to(scene, receiver.url, secret_env="HOOK_SECRET")
    wait = scene.listen(handler="hook", context={"name": "Zoë"})
    scene.record(data={"x": "é"}, external_id="m-1")
    assert scene.tick().delivered == 1
    (delivery,) = scene.get(wait).deliveries
    (request,) = receiver.requests
    assert request.line == "POST /hooks?for=us HTTP/1.1"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == delivery.id
    payload = Webhook(SECRET).verify(request.body, request.headers)
    assert (payload["delivery_id"], payload["outcome"], payload["event"]["data"]) == (delivery.id, "event", {"x": "é"})
    assert payload["wait"]["context"] == {"name": "Zoë"}
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body.replace(b"event", b"evens"), request.headers)


def test_every_secret_of_a_rotation_signs(sqlite_scene: Scene, receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n{OTHER}\n")
    post_to(sqlite_scene, receiver.url, secret_file=str(file))
    assert tried(sqlite_scene).status == "delivered"
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(receiver.requests[0].body, receiver.requests[0].headers)


def test_without_a_secret_nothing_is_signed(sqlite_scene: Scene, receiver: Receiver) -> None:
    post_to(sqlite_scene, receiver.url)
    assert tried(sqlite_scene).status == "delivered"
    assert "webhook-signature" not in receiver.requests[0].headers


@pytest.mark.parametrize("content", [None, "", "  ", "not base64!", "whsec_===="])
def test_secret_that_is_not_there_holds_the_deliveries(
    scene: Scene, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    post_to(scene, receiver.url, secret_env="HOOK_SECRET")
    if content is not None:
        monkeypatch.setenv("HOOK_SECRET", content)
    out = scene.handle(tmp_path, "echo run >> $OUT")
    (held,) = due(scene)
    other = scene.create(execution="other", handler="nudge").wait
    scene.waits.resume_wait(other.id)
    tick = Tick(scene.database, Settings(scene.url, handlers=scene.handlers), TickOptions())
    report = tick.run()
    assert (report.held, report.delivered, report.retried, report.dead) == (1, 1, 0, 0)
    assert out.read_text() == "run\n"
    assert list(tick.unready_handlers) == ["hook"]
    assert not content or content not in tick.unready_handlers["hook"]
    (delivery,) = scene.get(held).deliveries
    assert (delivery.status, delivery.attempt, delivery.max_attempts) == ("pending", 0, None)

    monkeypatch.setenv("HOOK_SECRET", SECRET)
    assert (scene.tick().delivered, len(receiver.requests)) == (1, 1)


def test_missing_secret_is_nobodys_business_while_nothing_is_due(sqlite_scene: Scene, receiver: Receiver) -> None:
    post_to(sqlite_scene, receiver.url, secret_file="/nowhere/secret")
    tick = Tick(sqlite_scene.database, Settings(sqlite_scene.url, handlers=sqlite_scene.handlers), TickOptions())
    assert tick.run().did_nothing
    assert tick.unready_handlers == {}


@pytest.mark.parametrize(
    ("reply", "status", "error"),
    [
        (answer(200, "fine"), "delivered", None),
        (answer(204), "delivered", None),
        (answer(299), "delivered", None),
        (answer(410, "gone for good"), "dead", "HTTP 410: gone for good"),
        (answer(400, "what?"), "pending", "HTTP 400: what?"),
        (answer(500), "pending", "HTTP 500"),
        (answer(302, Location="https://u:p@x.example/y?token=t#z"), "pending", "HTTP 302 to https://x.example/y: redirects are not followed"),
        (answer(302), "pending", "HTTP 302 to nowhere: redirects are not followed"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "delivered", None),
        (b"HTTP/1.0 500 No\r\n\r\na\0b\xff", "pending", "HTTP 500: a\ufffdb\ufffd"),
        (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "pending", "HTTP 500: abc"),
        (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz", "pending", "HTTP 500: abc"),
        (b"HTTP/1.1 20 x\r\nContent-Length: 0\r\n\r\n", "pending", "127.0.0.1 does not speak HTTP: BadStatusLine"),
        (b"HTTP/1.1 2000 x\r\nContent-Length: 0\r\n\r\n", "pending", "127.0.0.1 does not speak HTTP: BadStatusLine"),
        (b"SSH-2.0-OpenSSH\r\n", "pending", "127.0.0.1 does not speak HTTP: BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, "pending", "127.0.0.1 does not speak HTTP: HTTPException"),
    ],
)  # fmt: skip
def test_what_an_answer_means(
    sqlite_scene: Scene, receiver: Receiver, reply: bytes, status: str, error: str | None
) -> None:
    def once(connection: socket.socket, _: Receiver) -> None:
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    receiver.reply = once
    post_to(sqlite_scene, receiver.url)
    delivery = tried(sqlite_scene)
    assert (delivery.status, delivery.last_error) == (status, error)


def test_error_keeps_the_tail_of_the_answer(sqlite_scene: Scene, receiver: Receiver) -> None:
    receiver.reply = answer(500, "x" * 3000 + "the end")
    post_to(sqlite_scene, receiver.url)
    error = tried(sqlite_scene).last_error or ""
    assert error.endswith("xthe end") and len(error) < 1100


def http_date(minutes: float) -> str:
    return format_datetime(NOON + minutes * MINUTE, usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "minutes"),
    [
        ({"Retry_After": "600"}, 10),
        ({"Retry_After": http_date(20), "Date": http_date(5)}, 15),
        ({"Retry_After": "9" * 5000}, 24 * 60),
        ({"Retry_After": http_date(60 * 24 * 365), "Date": http_date(0)}, 24 * 60),
    ],
)
def test_retry_after_is_honoured_up_to_a_day(
    sqlite_scene: Scene, receiver: Receiver, status: int, headers: dict[str, str], minutes: float
) -> None:
    receiver.reply = answer(status, "slow down", **headers)
    post_to(sqlite_scene, receiver.url)
    delivery = tried(sqlite_scene)
    assert (delivery.status, delivery.attempt, delivery.last_error) == ("pending", 1, f"HTTP {status}: slow down")
    assert delivery.next_attempt_at == NOON + minutes * MINUTE


@pytest.mark.parametrize("value", ["-5", "soon", "", "0", "Sun, 99 Nov 1994 08:49:37 GMT", http_date(-60)])
def test_retry_after_that_says_nothing_leaves_the_backoff(sqlite_scene: Scene, receiver: Receiver, value: str) -> None:
    receiver.reply = answer(429, "", Retry_After=value)
    post_to(sqlite_scene, receiver.url)
    assert NOON <= tried(sqlite_scene).next_attempt_at <= NOON + MINUTE


def test_retry_after_counts_only_where_it_is_meant(sqlite_scene: Scene, receiver: Receiver) -> None:
    receiver.reply = answer(500, "", Retry_After="86400")
    post_to(sqlite_scene, receiver.url)
    assert tried(sqlite_scene).next_attempt_at <= NOON + MINUTE


def test_connections_are_kept(sqlite_scene: Scene, receiver: Receiver) -> None:
    post_to(sqlite_scene, receiver.url)
    due(sqlite_scene, 5)
    assert sqlite_scene.tick().delivered == 5
    assert (len(receiver.requests), receiver.connections) == (5, 1)


@pytest.mark.parametrize("end", [socket.socket.close, reset])
def test_connection_that_the_server_closed_meanwhile_fails_nobody(
    sqlite_scene: Scene, receiver: Receiver, end: object
) -> None:
    def answer_and_hang_up(connection: socket.socket, _: Receiver) -> None:
        connection.sendall(OK)
        assert callable(end)
        end(connection)

    receiver.reply = answer_and_hang_up
    post_to(sqlite_scene, receiver.url)
    due(sqlite_scene, 4)
    report = sqlite_scene.tick()
    assert (report.delivered, report.retried) == (4, 0)


@pytest.mark.parametrize("first", [OK, answer(200, "x" * 100, X_More="1"), answer(500, "no")], ids=["ok", "long", "no"])
def test_what_comes_behind_an_answer_is_not_the_next_one(sqlite_scene: Scene, receiver: Receiver, first: bytes) -> None:
    def answer_twice(connection: socket.socket, _: Receiver) -> bool:
        receiver.reply = answer(500, "refused")  # before the next request may come
        connection.sendall(first + OK)
        return True

    receiver.reply = answer_twice
    post_to(sqlite_scene, receiver.url)
    due(sqlite_scene, 2)
    report = sqlite_scene.tick()
    is_success = first.startswith(b"HTTP/1.1 200")
    assert (report.delivered, report.retried) == (int(is_success), 2 - is_success)
    assert (len(receiver.requests), receiver.connections) == (2, 2)


def test_what_comes_while_a_connection_is_idle_is_nobodys_answer(receiver: Receiver) -> None:
    goes_on, has_come = threading.Event(), threading.Event()

    def answer_twice(connection: socket.socket, _: Receiver) -> bool:
        connection.sendall(OK)
        goes_on.wait(20)
        connection.sendall(OK)
        receiver.reply = answer(500, "refused")
        has_come.set()
        return True

    receiver.reply = answer_twice
    handler = WebhookHandler(receiver.url, timedelta(seconds=20), host_clock)
    payload = Payload("01a20000-0000-7000-8000-000000000000", {})
    assert list(handler.deliver([payload])) == [Delivered()]
    goes_on.set()
    assert has_come.wait(20)
    assert list(handler.deliver([payload])) == [Failed("HTTP 500: refused")]
    handler.close()


def test_status_decides_though_the_body_is_cut_off(sqlite_scene: Scene, receiver: Receiver) -> None:
    def cut(head: bytes) -> Reply:
        def reply(connection: socket.socket, _: Receiver) -> None:
            connection.sendall(head + b"Content-Length: 1000\r\n\r\npart")
            connection.shutdown(socket.SHUT_WR)

        return reply

    post_to(sqlite_scene, receiver.url)
    receiver.reply = cut(b"HTTP/1.1 500 No\r\n")
    assert tried(sqlite_scene).last_error == "HTTP 500: part"
    receiver.reply = cut(b"HTTP/1.1 200 OK\r\n")
    assert sqlite_scene.at(10).tick().delivered == 1


def test_reset_before_an_answer(sqlite_scene: Scene, receiver: Receiver) -> None:
    receiver.reply = lambda connection, _: reset(connection)
    post_to(sqlite_scene, receiver.url)
    delivery = tried(sqlite_scene)
    assert (delivery.status, delivery.last_error) == ("pending", "cannot reach 127.0.0.1: Connection reset by peer")
    assert len(receiver.requests) == 1, "sent once: it may have arrived"


def test_nobody_listens(sqlite_scene: Scene, receiver: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    post_to(sqlite_scene, f"http://127.0.0.1:{port}/")
    assert tried(sqlite_scene).last_error == "cannot reach 127.0.0.1: Connection refused"


def test_host_without_an_address(sqlite_scene: Scene) -> None:
    post_to(sqlite_scene, "http://nowhere.invalid/")
    assert (tried(sqlite_scene).last_error or "").startswith("cannot reach nowhere.invalid: ")


@pytest.mark.parametrize(
    "reply",
    [
        lambda _, receiver: receiver.ended.wait(),
        drip(b"", b"H"),
        drip(b"HTTP/1.1 200 OK\r\n", b"X"),
    ],
    ids=["silent", "slow-status", "slow-header"],
)
def test_the_timeout_is_for_all_of_it(sqlite_scene: Scene, receiver: Receiver, reply: Reply) -> None:
    receiver.reply = reply
    post_to(sqlite_scene, receiver.url, timeout=0.3)
    assert tried(sqlite_scene).last_error == "timed out after 0.3 s"


def test_server_that_does_not_read_times_out(sqlite_scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        post_to(sqlite_scene, f"http://127.0.0.1:{deaf.getsockname()[1]}/", timeout=0.3)
        assert tried(sqlite_scene).last_error == "timed out after 0.3 s"


@pytest.mark.parametrize("length", [b"", b"Content-Length: 999999999999\r\n"])
@pytest.mark.parametrize(("status", "became"), [(b"200", "delivered"), (b"500", "pending")])
def test_endless_body_is_not_read_to_its_end(
    sqlite_scene: Scene, receiver: Receiver, status: bytes, became: str, length: bytes
) -> None:
    receiver.reply = drip(b"HTTP/1.1 " + status + b" Flood\r\n" + length + b"\r\n", b"x", size=65536)
    post_to(sqlite_scene, receiver.url)
    delivery = tried(sqlite_scene)
    assert (delivery.status, len(delivery.last_error or "")) == (became, 0 if became == "delivered" else 1034)
    assert receiver.hung_up.wait(20)


def test_slow_body_ends_with_the_timeout(sqlite_scene: Scene, receiver: Receiver) -> None:
    receiver.reply = drip(b"HTTP/1.1 500 Slow\r\n\r\nwords: ", b"x")
    post_to(sqlite_scene, receiver.url, timeout=0.3)
    assert (tried(sqlite_scene).last_error or "").startswith("HTTP 500: words: x")


def test_only_a_certificate_that_is_trusted_for_the_host_will_do(
    sqlite_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    with Receiver(certificate) as receiver:
        post_to(sqlite_scene, receiver.url)
        (wait_id,) = due(sqlite_scene)
        sqlite_scene.tick()
        (delivery,) = sqlite_scene.get(wait_id).deliveries
        assert (delivery.status, delivery.last_error) == ("pending", "TLS with 127.0.0.1: self-signed certificate")

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert sqlite_scene.at(10).tick().delivered == 1
        assert len(receiver.requests) == 1

    other = self_signed(tmp_path, "other.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    with Receiver(other) as receiver:
        post_to(sqlite_scene, receiver.url)
        due(sqlite_scene)
        sqlite_scene.at(20).tick()
        (delivery, *_) = sqlite_scene.deliveries.list_deliveries()
        assert "not valid for '127.0.0.1'" in (delivery.last_error or "")
        assert receiver.requests == []


def test_plain_server_where_tls_is_asked_for(sqlite_scene: Scene, receiver: Receiver) -> None:
    receiver.reply = answer(400)
    post_to(sqlite_scene, receiver.url.replace("http:", "https:"), timeout=2)
    assert tried(sqlite_scene).status == "pending"
    assert receiver.requests == []


def test_no_secret_in_what_is_kept(sqlite_scene: Scene, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    receiver.reply = answer(500)
    post_to(sqlite_scene, receiver.url, secret_env="HOOK_SECRET")
    (wait_id,) = due(sqlite_scene)
    sqlite_scene.tick()
    assert sqlite_scene.database.path is not None
    files = sqlite_scene.database.path.parent.glob("waits.db*")
    assert not any(SECRET[6:].encode() in file.read_bytes() for file in files)
    assert wait_id and json.loads(receiver.requests[0].body)


def test_the_timestamp_is_the_hosts_even_in_time_travel(
    sqlite_scene: Scene, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver compares it with its own clock; the scene's stands still in 2026."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    post_to(sqlite_scene, receiver.url, secret_env="HOOK_SECRET")
    before = host_clock().replace(microsecond=0)
    tried(sqlite_scene)
    sent = datetime.fromtimestamp(int(receiver.requests[0].headers["webhook-timestamp"]), UTC)
    assert before <= sent <= host_clock()
