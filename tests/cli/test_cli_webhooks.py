"""Webhooks by process: each format good, tampered, unsigned, replayed, while its secret rotates; nothing in on refusal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.cli.processes import Finished, Waitctl
from tests.signing import FIXTURES, NEW, OLD, SENDERS, URL, Signed, signed
from waitctl.domain.events import EventType
from waitctl.infrastructure.providers import names

NAMES = names()
AT = datetime(2026, 1, 1, 9, tzinfo=UTC)
NOW = {"WAITCTL_AS_OF": "2026-01-01T09:00:10Z"}
TOTALS = {"received", "recorded", "duplicates", "ignored", "rejected", "matched", "without_id"}


def configure(run: Waitctl, name: str, *keys: str, extra: str = "") -> dict[str, str | None]:
    """The environment of a host that verifies a source by these keys."""
    variables = {"OLDER" if key == OLD else "NEWER": SENDERS[name].secret(key) for key in keys}
    config = run.folder / "config.toml"
    config.write_text(f"[sources.{name}]\nsecret_env = {json.dumps(list(variables))}\n{extra}")
    return {"WAITCTL_CONFIG": str(config), **NOW, **variables}


def deliver(run: Waitctl, name: str, request: Signed, *options: str, env: dict[str, Any]) -> Finished:
    headers = run.folder / "headers"
    headers.write_text(f"POST /hooks HTTP/1.1\r\n{request.header_lines()}\r\n")
    given = ("--headers-file", str(headers), "--url", URL, "-o", "json", *options)
    return run("event", "ingest", "-", "--format", name, *given, stdin=request.body, env=env)


def recorded(run: Waitctl) -> list[Any]:
    return list(run("event", "list", "-o", "json").ok().json["events"])


def quarantined(run: Waitctl) -> list[Any]:
    return list(run("event", "quarantine", "list", "-o", "json").ok().json["quarantine"])


def error_of(finished: Finished) -> dict[str, Any]:
    [line] = finished.err.splitlines()
    return dict(json.loads(line)["error"])


@pytest.mark.parametrize("name", NAMES)
def test_a_good_one_is_taken_once(run: Waitctl, name: str) -> None:
    env = configure(run, name, NEW, OLD)
    if (kind := SENDERS[name].first[0]) not in set(EventType):
        run("event", "types", "add", kind).ok()
    new = SENDERS[name].recorded
    for key in (OLD, NEW):  # while they rotate either signs; the second time it is a replay
        result = deliver(run, name, signed(name, AT, key), env=env).ok().json
        assert set(result) == TOTALS | {"verified", "ignored_types", "quarantined"}
        assert result["verified"] is True
        assert (result["recorded"], result["duplicates"]) == ((new, 0) if key == OLD else (0, new))
    assert len(recorded(run)) == new
    assert quarantined(run) == []


@pytest.mark.parametrize("name", NAMES)
def test_what_is_refused_leaves_nothing_but_a_line_in_quarantine(run: Waitctl, name: str) -> None:
    env = configure(run, name, OLD)
    refused = deliver(run, name, signed(name, AT, NEW), env=env)
    assert (refused.code, error_of(refused)["code"]) == (1, "invalid_signature")
    assert refused.json | {"received": 1} == refused.json | {"rejected": 1, "recorded": 0, "received": 1}
    [row] = quarantined(run)
    assert (row["code"], row["format"], row["verified"]) == ("invalid_signature", name, False)
    assert refused.json["quarantined"] == [row["quarantine_id"]]
    assert row["quarantine_id"] in error_of(refused)["hint"]
    assert recorded(run) == []
    secret = SENDERS[name].secret(OLD)
    shown = run("event", "quarantine", "show", row["quarantine_id"], "-o", "json").ok()
    assert secret not in refused.err + refused.out + shown.out
    assert "authorization" not in shown.json["headers"]


@pytest.mark.parametrize("name", [name for name in NAMES if SENDERS[name].covers_body])
def test_a_tampered_body(run: Waitctl, name: str) -> None:
    env = configure(run, name, OLD)
    request = signed(name, AT, OLD)
    tampered = Signed(request.body + (b"&a=b" if name == "twilio" else b" "), request.headers)
    if (kind := SENDERS[name].first[0]) not in set(EventType):
        run("event", "types", "add", kind).ok()
    assert deliver(run, name, tampered, env=env).code == 1
    assert recorded(run) == []
    assert deliver(run, name, tampered, "--no-verify", env=env).ok().json["verified"] is False


@pytest.mark.parametrize("name", [name for name in NAMES if SENDERS[name].window])
def test_a_stale_one(run: Waitctl, name: str) -> None:
    env = configure(run, name, OLD)
    window = SENDERS[name].window
    assert window is not None
    refused = deliver(run, name, signed(name, AT - window, OLD), env=env)
    assert (refused.code, "stale" in error_of(refused)["message"]) == (1, True)
    assert recorded(run) == []


@pytest.mark.parametrize("name", NAMES)
def test_without_a_header_or_a_secret_nothing_is_even_kept(run: Waitctl, name: str) -> None:
    env = configure(run, name, OLD)
    request = signed(name, AT, OLD)
    for header in [each for each in request.headers if each.lower() not in SENDERS[name].unsigned]:
        rest = {each: value for each, value in request.headers.items() if each != header}
        message = deliver(run, name, Signed(request.body, rest), env=env).json_error(2)["message"]
        assert header.lower() in message.lower()
    for env_without in (env | {"OLDER": None}, env | {"OLDER": " "}):
        message = deliver(run, name, request, env=env_without).json_error(2)["message"]
        assert "OLDER" in message
    assert (recorded(run), quarantined(run)) == ([], [])


def test_a_provider_that_no_config_has_is_no_stream(run: Waitctl) -> None:
    """A hook that runs with another HOME finds no config: its source would take anybody's lines."""
    line = b'{"type": "email_open", "contact": "ada@example.org"}\n'
    args = ("event", "ingest", "--source", "mailgun")
    assert run(*args, stdin=line).error(2) == "the config has no [sources.mailgun]"
    run(*args, "--format", "ndjson", "--dry-run", stdin=line)


def test_secrets_in_files(run: Waitctl) -> None:
    config = run.folder / "config.toml"
    config.write_text('[sources.shop]\nformat = "calcom"\nsecret_file = ["one", "two"]\n')
    env = {"WAITCTL_CONFIG": str(config), **NOW}
    request = signed("calcom", AT, NEW)
    (run.folder / "one").write_text(f"{OLD}\n")
    missing = deliver(run, "calcom", request, "--source", "shop", env=env).json_error(2)
    assert (missing["code"], str(run.folder / "two") in missing["message"]) == ("missing_credential", True)
    (run.folder / "two").write_text("")
    assert "is empty" in deliver(run, "calcom", request, "--source", "shop", env=env).json_error(2)["message"]
    (run.folder / "two").write_text(f"{NEW}\n")
    assert deliver(run, "calcom", request, "--source", "shop", env=env).ok().json["recorded"] == 1
    assert recorded(run)[0]["source"] == "shop"
    # Another format than the one it is verified as would be a way around it, and so would NDJSON.
    assert (
        "verified as calcom" in deliver(run, "typeform", request, "--source", "shop", env=env).json_error(2)["message"]
    )
    ndjson = ("event", "ingest", "--format", "ndjson", "--source", "shop")
    assert "nothing signs this" in run(*ndjson, env=env, stdin="").error(2)
    assert run(*ndjson, "--no-verify", "-o", "json", env=env, stdin="").ok().json["received"] == 0


def test_without_a_secret_nothing_comes_in(run: Waitctl) -> None:
    """A source that is misspelled, a format alone, a config that is not there: no way around the signature."""
    request = signed("typeform", AT, OLD)
    nowhere = deliver(run, "typeform", request, env={}).json_error(2)
    assert (nowhere["code"], "[sources.typeform] has no secret" in nowhere["message"]) == ("missing_credential", True)
    config = run.folder / "config.toml"
    config.write_text('[sources.forms]\nformat = "typeform"\nsecret_env = "KEY"\n[sources.open]\nverify = false\n')
    env = {"WAITCTL_CONFIG": str(config), "KEY": OLD}
    assert deliver(run, "typeform", request, env=env).json_error(2)["code"] == "missing_credential"
    for command in (("--format", "typeform"), ("--format", "ndjson"), ()):
        unknown = run("event", "ingest", *command, "--source", "form", stdin=request.body, env=env)
        assert "no [sources.form]" in unknown.error(2)
        assert unknown.err.splitlines()[1] == "hint: it has forms"
    assert (recorded(run), quarantined(run)) == ([], [])
    taken = deliver(run, "typeform", request, "--source", "open", env=env).ok().json
    assert (taken["recorded"], taken["verified"]) == (1, False)
    taken = deliver(run, "typeform", request, "--no-verify", env={}).ok().json
    assert (taken["recorded"], taken["verified"]) == (1, False)


def test_no_other_door_writes_under_a_verified_name(run: Waitctl) -> None:
    """What was forged there would make the genuine one, signed and under the same id, a duplicate."""
    config = run.folder / "config.toml"
    config.write_text(
        '[sources.forms]\nformat = "typeform"\nsecret_env = "KEY"\n'
        '[sources.bus]\nformat = "cloudevents"\nsecret_env = "BUS"\n'
    )
    env = {"WAITCTL_CONFIG": str(config), **NOW, "KEY": OLD, "BUS": SENDERS["cloudevents"].secret(OLD)}
    token = SENDERS["typeform"].first[2]
    forged = {"type": "form_submit", "contact": "eve", "id": token, "source": "forms"}
    good = forged | {"source": "mailer"}
    lines = "\n".join(map(json.dumps, (forged, good)))
    named = run("event", "ingest", "-o", "json", stdin=lines, env=env)
    assert (named.code, named.json["recorded"], named.json["rejected"]) == (1, 1, 1)
    assert error_of(named) | {"code": "invalid_source", "line": 1} == error_of(named)
    by_hand = ("event", "record", "form_submit", "-c", "eve", "--id", str(token), "--source", "forms", "-o", "json")
    assert run(*by_hand, env=env).json_error(2)["code"] == "invalid_source"
    whole = run("event", "ingest", "--format", "ndjson", "--source", "forms", "-o", "json", stdin=lines, env=env)
    assert whole.json_error(2)["code"] == "invalid_source"
    cloud = json.loads((FIXTURES / "cloudevents.json").read_bytes()) | {"source": "forms", "id": token}
    single = ("event", "ingest", "--format", "cloudevents", "-o", "json")
    assert run(*single, stdin=json.dumps(cloud), env=env).json_error(2)["code"] == "invalid_source"
    request = signed("cloudevents", AT, OLD, json.dumps([cloud, cloud | {"source": "/shop"}]).encode())
    several = deliver(run, "cloudevents", request, "--source", "bus", env=env)
    assert (several.code, several.json["recorded"], error_of(several)["code"]) == (1, 1, "invalid_source")
    genuine = deliver(run, "typeform", signed("typeform", AT, OLD), "--source", "forms", env=env).ok().json
    assert (genuine["recorded"], genuine["duplicates"]) == (1, 0)
    assert {(event["source"], event["id"]) for event in recorded(run)} == {
        ("mailer", token),
        ("bus", f"/shop {token}"),
        ("forms", token),
    }


def test_a_token_is_used_up_by_whatever_came_under_it(run_on: Waitctl) -> None:
    """Mailgun signs a token and no content: seen once, of an ignored event even, it lets nothing else in."""
    env = configure(run_on, "mailgun", OLD)
    ignored = json.loads(SENDERS["mailgun"].body)
    ignored["event-data"]["event"] = "accepted"
    request = signed("mailgun", AT, OLD, json.dumps(ignored).encode())
    assert deliver(run_on, "mailgun", request, env=env).ok().json["ignored"] == 1
    forged = json.loads(request.body)
    forged["event-data"] |= {"event": "clicked", "recipient": "eve@example.org"}
    refused = deliver(run_on, "mailgun", Signed(json.dumps(forged).encode(), {}), env=env)
    assert (refused.code, error_of(refused)["code"]) == (1, "invalid_signature")
    assert deliver(run_on, "mailgun", request, env=env).ok().json["ignored"] == 1
    assert recorded(run_on) == []
    [row] = quarantined(run_on)
    assert run_on("event", "quarantine", "replay", row["quarantine_id"], env=env).code == 1
    assert recorded(run_on) == []


def test_cal_com_without_a_secret(run: Waitctl) -> None:
    request = Signed(signed("calcom", AT).body, {"X-Cal-Signature-256": "no-secret-provided"})
    refused = deliver(run, "calcom", request, env=configure(run, "calcom", OLD))
    assert refused.code == 1
    assert "did not sign" in error_of(refused)["message"]
    assert recorded(run) == []


def test_twilios_url_by_config(run: Waitctl) -> None:
    env = configure(run, "twilio", OLD)
    headers = run.folder / "headers.json"
    request = signed("twilio", AT, OLD)
    headers.write_text(json.dumps({name: [value] for name, value in request.headers.items()}))
    command = ("event", "ingest", "--format", "twilio", "--headers-file", str(headers), "-o", "json")
    assert "URL" in run(*command, stdin=request.body, env=env).json_error(2)["message"]
    env = configure(run, "twilio", OLD, extra=f'url = "{URL}"')
    assert run(*command, stdin=request.body, env=env).ok().json["recorded"] == 1


def test_types_that_are_not_registered_are_ignored_and_said(run_on: Waitctl) -> None:
    wait = run_on("create", "for-event", "email_open", "-c", "ada@example.org", "-o", "id").ok().out.strip()
    command = ("event", "ingest", str(FIXTURES / "sendgrid.json"), "--format", "sendgrid", "--no-verify")
    taken = run_on(*command)
    [ignored] = taken.err.splitlines()
    assert (taken.code, "waitctl event types add NAME" in ignored) == (0, True)
    assert taken.lines[0] == "7 received, 2 recorded, 0 duplicates, 5 ignored, 0 rejected, 1 wait resumed"
    assert taken.lines[1:] == [
        "  ignored email_delivered: 1",
        "  ignored email_bounce: 1",
        "  ignored email_unsubscribe: 1",
        "  ignored email_spam_report: 1",
        "  ignored sendgrid.group_resubscribe: 1",
    ]
    assert run_on("status", wait, "-o", "json").ok().json["resolution"] == "event"
    run_on("event", "types", "add", "email_delivered").ok()
    again = run_on(*command, "-o", "json").ok().json
    assert (again["recorded"], again["duplicates"], again["ignored"]) == (1, 2, 4)
    assert "email_delivered" not in again["ignored_types"]


def test_a_batch_loses_only_what_is_bad_of_it(run_on: Waitctl) -> None:
    env = configure(run_on, "sendgrid", OLD, extra='contact = "user_id"')
    opened = {"event": "open", "user_id": "u-1", "sg_event_id": "a"}
    batch = [
        opened,
        {"event": "open", "sg_event_id": "b"},
        {"event": "click", "user_id": "u-1", "sg_event_id": "c", "url": "x" * 300_000},
        7,
        opened | {"sg_event_id": "d"},
        {"event": "open", "email": "eve@x.org", "timestamp": 1e300},
    ]
    mixed = deliver(run_on, "sendgrid", signed("sendgrid", AT, OLD, json.dumps(batch).encode()), env=env)
    assert mixed.code == 1
    assert (mixed.json["received"], mixed.json["recorded"], mixed.json["rejected"]) == (6, 2, 4)
    rows = quarantined(run_on)
    assert sorted(row["message"][:12] for row in rows) == [
        "event 4 of t",
        "event 6 of t",
        "the data is ",
        "the email_op",
    ]
    assert {row["verified"] for row in rows} == {True}
    nameless = next(row for row in rows if "names no contact" in row["message"])
    shown = run_on("event", "quarantine", "show", nameless["quarantine_id"], "-o", "json").ok().json
    assert json.loads(shown["body_text"]) == [batch[1]]


UNREADABLE = [b"\xff\xfe", b"{", b"", b"[" * 100_000]
LARGE = b'"' + b"x" * 9 * 1024 * 1024


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_read_is_kept_with_the_reason(run: Waitctl, name: str) -> None:
    is_form = not SENDERS[name].fixture.endswith(".json")
    bodies = [b"\xff\xfe", b"%ff=1", b"{", b"", LARGE] if is_form else [*UNREADABLE, LARGE]
    headers = run.folder / "headers"
    headers.write_text(signed(name, AT).header_lines())
    given = ("--headers-file", str(headers), "--no-verify", "-o", "json")
    for body in bodies:
        refused = run("event", "ingest", "--format", name, *given, stdin=body)
        assert (refused.code, refused.json["rejected"]) == (1, 1), body[:10]
    rows = quarantined(run)
    assert [row["cut"] for row in rows] == [True, *[False] * 4]
    assert [row["size"] for row in rows[1:]] == [len(body) for body in bodies[-2::-1]]
    assert recorded(run) == []
    assert "cannot be replayed" in run("event", "quarantine", "replay", rows[0]["quarantine_id"]).err


def test_too_deep_for_a_database(run: Waitctl) -> None:
    deep: Any = "x"
    for _ in range(70):
        deep = [deep]
    body = json.dumps({"type": "page_visit", "data": {"email": "ada", "deep": deep}})
    refused = run("event", "ingest", "--format", "standardwebhooks", "--no-verify", "-o", "json", stdin=body)
    assert (refused.code, "nested deeper" in error_of(refused)["message"]) == (1, True)


def test_a_dry_run_says_what_it_would_record(run: Waitctl) -> None:
    wait = run("create", "for-event", "email_open", "-c", "ada@example.org", "-o", "id").ok().out.strip()
    command = ("event", "ingest", str(FIXTURES / "sendgrid.json"), "--format", "sendgrid", "--no-verify", "--dry-run")
    told = run(*command, "-o", "json").ok().json
    assert [(each["type"], each["matched"]) for each in told["events"]] == [("email_open", [wait]), ("email_click", [])]
    assert "would record email_open of ada@example.org (b3Blbi0x)" in run(*command).out
    refused = run("event", "ingest", "--format", "calcom", "--no-verify", "--dry-run", "-o", "json", stdin="[]")
    assert (refused.code, refused.json["quarantined"]) == (1, [])
    assert (recorded(run), quarantined(run)) == ([], [])


def test_cloudevents_in_every_mode(run: Waitctl) -> None:
    event = json.loads((FIXTURES / "cloudevents.json").read_bytes()) | {"expirytime": "2999-01-01T00:00:00Z"}
    ingest = ("event", "ingest", "--format", "cloudevents", "-o", "json")
    batch = json.dumps([event | {"id": "1"}, event | {"id": "2"}, event | {"id": "2", "source": "/other"}])
    assert run(*ingest, stdin=batch).ok().json["recorded"] == 3
    stream = "\n".join(json.dumps(event | {"id": each}) for each in "234") + "\n\n"
    assert (run(*ingest, stdin=stream).ok().json["recorded"], len(recorded(run))) == (2, 5)
    headers = run.folder / "headers"
    headers.write_text(
        "Content-Type: application/json\nce-specversion: 1.0\nce-type: page_visit\nce-source: /site\nce-id: 5\n"
        "ce-subject: ada@example.org\nce-time: 2026-01-01T09:00:00Z\n"
    )
    binary = (
        run(*ingest, "--headers-file", str(headers), "--source", "site", "-o", "json", stdin='{"url": "/"}').ok().json
    )
    assert binary["recorded"] == 1
    [found] = [each for each in recorded(run) if each["id"] == "/site 5"]
    assert (found["source"], found["data"], found["occurred_at"]) == ("site", {"url": "/"}, "2026-01-01T09:00:00Z")
    spoiled = f'{json.dumps(event | {"id": "6"})}\n{{"half": \n{json.dumps(event | {"id": "7"})}\n'
    mixed = run(*ingest, stdin=spoiled)
    assert (mixed.code, mixed.json["recorded"], mixed.json["rejected"]) == (1, 2, 1)


def test_the_command_line_is_checked_first(run: Waitctl) -> None:
    ingest = ("event", "ingest")
    assert "no headers and no URL" in run(*ingest, "--url", "https://x").error(2)
    assert "not a header" in run(*ingest, "--format", "calcom", "--headers-file", __file__).error(2)
    assert "cannot read none" in run(*ingest, "--format", "calcom", "--headers-file", "none").error(2)
    (run.folder / "config.toml").write_text(
        '[sources.a]\nformat = "fax"\n[sources.calcom]\nverify = false\ncontact = "a..b"\n'
    )
    config = ("--config", str(run.folder / "config.toml"))
    assert "'fax' is no format" in run(*config, *ingest, "--source", "a").error(2)
    assert "sources.calcom.contact" in run(*config, *ingest, "--format", "calcom").error(2)


def test_the_list_of_providers(run: Waitctl) -> None:
    listed = run("event", "providers", "-o", "json").ok().json["providers"]
    assert [each["name"] for each in listed] == list(NAMES)
    assert "X-Cal-Signature-256" in run("event", "providers").ok().out
