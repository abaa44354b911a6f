"""Closed by default: who may look, who may change, and what a page of somebody else's can make a browser do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.web.door import JSON, TOKENS, Answer, Client, door, settings_of
from waitctl import WaitSchedulingService, WaitSpec
from waitctl.domain.errors import InvalidSettingError, MissingCredentialError
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.serve_settings import Scope, ServeConfig, TokenConfig
from waitctl.web import create_app, live
from waitctl.web.access import COOKIE

FORM = "application/x-www-form-urlencoded"
HTML = "text/html"
PAGES = ("/", "/waits", "/events", "/deliveries", "/calendars", "/calendars/DE-BY", "/quarantine")
READS = (*PAGES, "/api/v1/waits", "/api/v1/admin/workflows/waits/pending", "/metrics", "/live")
WRITES = (
    ("POST", "/api/v1/workflows/w/executions/e/wait"),
    ("DELETE", "/api/v1/workflows/executions/e/wait/wait"),
    ("POST", "/api/v1/workflows/tasks/wait/01a2277bda9b/resume"),
    ("POST", "/waits/01a2277bda9b/cancel"),
    ("POST", "/waits/01a2277bda9b/resume"),
    ("POST", "/waits/01a2277bda9b/reschedule"),
    ("POST", "/deliveries/retry-dead"),
    ("POST", "/deliveries/01a2277bda9b/retry"),
    ("POST", "/deliveries/01a2277bda9b/drop"),
    ("POST", "/quarantine/01a2277bda9b/replay"),
    ("POST", "/quarantine/01a2277bda9b/drop"),
)


def browser(client: Client, token: str) -> dict[str, str]:
    """The headers of a browser that has shown its token."""
    answer = client.with_token(None).ask(
        "POST", "/login", urlencode({"token": token, "next": "/waits"}), {"Content-Type": FORM}
    )
    assert (answer.status, answer.headers["location"]) == (303, "/waits"), answer
    cookie = answer.headers["set-cookie"]
    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.lower().split("; ")), cookie
    assert token not in cookie
    return {"Cookie": cookie.partition(";")[0], "Accept": HTML}


def submit(client: Client, path: str, headers: dict[str, str], **fields: str) -> Answer:
    return client.ask("POST", path, urlencode(fields), headers | {"Content-Type": FORM})


def csrf_in(page: Answer) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page.text)
    assert found is not None
    return found[1]


@pytest.fixture
def acting(migrated_sqlite_url: str, tmp_path: Path) -> Iterator[Client]:
    """A server that lets its dashboard act, and a client without a token."""
    with door(settings_of(migrated_sqlite_url, tmp_path), token=None, allow_actions=True) as client:
        yield client


def test_without_a_token_in_the_config_this_machine_may_look_and_nobody_may_change_anything(
    migrated_sqlite_url: str, tmp_path: Path
) -> None:
    with door(settings_of(migrated_sqlite_url, tmp_path, tokens=False), token=None, allow_actions=True) as client:
        for path in READS[:-1]:
            assert client.get(path).status == 200, path
        for method, path in WRITES:
            assert client.ask(method, path, "{}", JSON).status == 403, path
        assert client.post("/api/v1/events", {}).status == 403
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
            assert client.ask("GET", "/waits", headers={header: "198.51.100.7"}).status == 401, header
        assert "csrf" not in client.get("/").text


def test_with_a_token_in_the_config_nobody_gets_in_without_one(acting: Client) -> None:
    for path in READS:
        answer = acting.get(path)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="waitctl"'), path
    for method, path in WRITES:
        assert acting.ask(method, path, "{}", JSON).status == 401, path
    for header in ("Bearer wrong-token-of-16-characters", "Basic YTpi", "Bearer", ""):
        assert acting.ask("GET", "/api/v1/waits", headers={"Authorization": header}).status == 401, header
    assert acting.get("/healthz").status == 503
    assert acting.get("/openapi.json").status == 200
    redirected = acting.get("/waits?status=error", Accept=HTML)
    assert (redirected.status, redirected.headers["location"]) == (303, "/login?next=%2Fwaits%3Fstatus%3Derror")


def test_a_token_is_good_for_its_scopes_alone(acting: Client) -> None:
    reader, sender, writer = (acting.with_token(TOKENS[name]) for name in ("reader", "sender", "writer"))
    event = {"type": "page_visit", "contact": "ada"}
    assert [each.get("/api/v1/waits").status for each in (reader, sender, writer)] == [200, 403, 200]
    assert [each.post("/api/v1/events", event).status for each in (reader, sender, writer)] == [403, 201, 403]
    path = "/api/v1/workflows/w/executions/e/wait"
    body = {"type": "fixed-time", "duration": "1h"}
    assert [each.post(path, body).status for each in (reader, sender, writer)] == [403, 403, 201]


@pytest.mark.parametrize("name", ["token", "access_token", "API_KEY", "secret"])
def test_a_token_in_a_url_is_refused_whether_or_not_it_is_one(acting: Client, name: str) -> None:
    for path in ("/waits", "/api/v1/waits", "/login", "/healthz"):
        refused = acting.with_token(TOKENS["admin"]).get(f"{path}?{name}={TOKENS['admin']}")
        assert (refused.status, refused.code) == (400, "secret_in_url")
        assert TOKENS["admin"] not in refused.text


def test_a_name_that_somebody_else_gave_this_machine_is_none_of_ours(migrated_sqlite_url: str, tmp_path: Path) -> None:
    given = settings_of(migrated_sqlite_url, tmp_path, tokens=False, serve={"hosts": ("waits.example.org",)})
    with door(given, token=None) as client:
        for host in ("127.0.0.1", "localhost:8025", "[::1]:8025", "x.localhost", "WAITS.example.org:443"):
            assert client.ask("GET", "/waits", headers={"Host": host}).status == 200, host
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "192.0.2.1"):
            refused = client.ask("GET", "/waits", headers={"Host": host})
            assert (refused.status, refused.code) == (421, "misdirected"), host


def test_a_browser_shows_its_token_once_and_acts_by_our_forms_alone(
    acting: Client, migrated_sqlite_url: str, waits_of: WaitSchedulingService
) -> None:
    wait = waits_of.create_fixed_time_wait("3d", WaitSpec("order-17")).wait
    page, cancel = f"/waits/{wait.id}", f"/waits/{wait.id}/cancel"
    headers = browser(acting, TOKENS["writer"])
    shown = acting.ask("GET", page, headers=headers)
    csrf = csrf_in(shown)
    other = csrf_in(acting.ask("GET", page, headers=browser(acting, TOKENS["admin"])))
    assert other != csrf
    for wrong in ("", csrf[:-1] + "0" if csrf[-1] != "0" else "1", other):
        assert submit(acting, cancel, headers, csrf=wrong).status == 403
    for site in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        assert submit(acting, cancel, headers | site, csrf=csrf).status == 403, site
    assert submit(acting, cancel, {"Authorization": f"Bearer {TOKENS['writer']}"}, csrf=csrf).status == 403
    assert acting.ask("POST", cancel, "{}", headers | JSON).status == 415
    assert waits_of.get_wait_status(wait.id).wait.status == "scheduled"
    own = {"Origin": f"http://127.0.0.1:{acting.port}", "Sec-Fetch-Site": "same-origin"}
    done = submit(acting, cancel, headers | own, csrf=csrf, reason="paid")
    assert (done.status, done.headers["location"]) == (303, f"{page}?done=cancelled")
    [_, line] = waits_of.get_history(wait.id)
    assert (line.to_status, line.reason, line.actor.partition("@")[0]) == ("cancelled", "paid", "writer")
    reading = browser(acting, TOKENS["reader"])
    assert "csrf" not in acting.ask("GET", page, headers=reading).text
    assert submit(acting, cancel, reading, csrf=csrf).status == 403


@pytest.fixture
def waits_of(migrated_sqlite_url: str) -> Iterator[WaitSchedulingService]:
    from waitctl import Database

    with Database(migrated_sqlite_url) as database:
        yield WaitSchedulingService(database, actor="test")


@pytest.mark.parametrize(
    ("method", "path"), [*(each for each in WRITES if "/api/" in each[1]), ("POST", "/api/v1/events")]
)
def test_the_api_takes_no_change_by_a_session(acting: Client, method: str, path: str) -> None:
    """Another port of this machine is the same site to a browser, and a request without a body asks for no leave."""
    headers = browser(acting, TOKENS["admin"])
    for given in (headers, headers | {"Origin": f"http://127.0.0.1:{acting.port}"}, headers | JSON):
        refused = acting.ask(method, path, None if given is headers else "{}", given)
        assert refused.status == 403, refused
    assert acting.ask("GET", "/api/v1/waits", headers=headers).status == 200


def test_a_dashboard_that_only_shows_changes_nothing(migrated_sqlite_url: str, tmp_path: Path) -> None:
    with door(settings_of(migrated_sqlite_url, tmp_path), token=None) as client:
        headers = browser(client, TOKENS["admin"])
        refused = submit(client, "/deliveries/retry-dead", headers, csrf="0")
        assert (refused.status, "only shows" in refused.text) == (403, True)


def test_a_session_ends_and_cannot_be_made_up(acting: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = browser(acting, TOKENS["reader"])
    assert acting.ask("GET", "/waits", headers=headers).status == 200
    name, ends, mac = headers["Cookie"].partition("=")[2].split(".")
    for forged in (f"{name}.{int(ends) + 1}.{mac}", f"YWRtaW4=.{ends}.{mac}", f"{name}.{ends}.", "..", "x", "ä.1.2"):
        assert acting.ask("GET", "/waits", headers={"Cookie": f"{COOKIE}={forged}"}).status == 401, forged
    monkeypatch.setattr("waitctl.web.access._now", lambda: int(ends) + 1)
    assert acting.ask("GET", "/waits", headers=headers | {"Accept": "*/*"}).status == 401
    left = submit(acting, "/logout", headers)
    assert (left.status, left.headers["location"]) == (303, "/login")
    assert 'waitctl_session=""' in left.headers["set-cookie"]


def test_a_login_leads_nowhere_else_and_takes_no_token_that_may_not_look(acting: Client) -> None:
    for next_ in ("//evil.example", "https://evil.example", "/\\evil.example", "evil", "/waits\r\nX: y", "/wä"):
        answer = submit(acting, "/login", {}, token=TOKENS["reader"], next=next_)
        assert (answer.status, answer.headers["location"]) == (303, "/"), next_
    for token, words in (("x", "not known"), (TOKENS["sender"], "not good for looking")):
        refused = submit(acting, "/login", {"Accept": HTML}, token=token)
        assert (refused.status, words in refused.text, "set-cookie" in refused.headers) == (401, True, False)
    assert submit(acting, "/login", {"Origin": "https://evil.example"}, token=TOKENS["reader"]).status == 403


def test_every_answer_says_what_a_browser_may_do_with_it(acting: Client) -> None:
    client = acting.with_token(TOKENS["admin"])
    for path in (*PAGES, "/api/v1/waits", "/nothing", "/static/live.js", "/hooks/x"):
        headers = client.get(path, Accept=HTML).headers
        policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == ("public, max-age=3600" if path.startswith("/static/") else "no-store")


def test_more_requests_than_there_may_be_are_told_to_come_back(migrated_sqlite_url: str, tmp_path: Path) -> None:
    given = settings_of(migrated_sqlite_url, tmp_path, serve={"max_requests": 1})
    with door(given) as client, client.open("GET", "/live") as held:
        assert held.status == 200
        refused = client.get("/api/v1/waits")
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "too_many_requests", "5")


def test_a_page_that_is_left_open_hears_of_changes(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BREATH", 0.0)
    monkeypatch.setattr(live, "LOOK_AGAIN", 1.0)
    with client.open("GET", "/live") as stream:
        assert stream.getheader("content-type") == "text/event-stream; charset=utf-8"
        assert stream.readline() == b"retry: 5000\n"
        while not client.site.news._waiting:
            pass
        client.post("/api/v1/workflows/w/executions/e/wait", {"type": "fixed-time", "duration": "1h"})
        assert stream.readline() == b"\n"
        assert stream.readline() == b"event: change\n"
        client.site.news.stop()
    monkeypatch.setattr(live, "MOST", 0)
    assert client.get("/live").status == 429


def test_a_token_that_could_be_guessed_or_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("short")
    (tmp_path / "t").chmod(0o600)
    for config, error in (
        (TokenConfig("a", token_file=("t",), folder=tmp_path), InvalidSettingError),
        (TokenConfig("a", token_env=("NOT_SET_AT_ALL",)), MissingCredentialError),
    ):
        with pytest.raises(error, match=r"serve\.tokens\.a"):
            create_app(Settings("sqlite:///x.db", serve=ServeConfig(tokens={"a": config})))
    with pytest.raises(InvalidSettingError, match="nothing"):
        create_app(Settings("sqlite:///x.db"), only=["nothing"])
    assert set(Scope) == {"events", "read", "write"}
