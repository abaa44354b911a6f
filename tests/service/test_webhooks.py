"""The quarantine and its replays, and events that expire, on both databases."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.scene import MINUTE, NOON, Scene
from tests.signing import NEW, OLD, SENDERS, URL, signed
from waitctl import Settings, Tick
from waitctl.application.events.webhooks import Webhook, WebhookResult, WebhookService
from waitctl.domain.errors import InvalidSettingError, MissingCredentialError, PayloadCutError, QuarantineNotFoundError
from waitctl.domain.events import EventType
from waitctl.infrastructure.config import SourceConfig
from waitctl.infrastructure.providers import Request, names, provider


class Hooks:
    """A host that takes webhooks of every provider in; ``key`` is what its secrets are made of."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self._scene, self._folder = scene, folder
        self.know(OLD)

    def know(self, key: str, **config: Any) -> None:
        sources = {name: self._source(name, key, config) for name in SENDERS}
        self._settings = Settings(self._scene.url, sources=sources)
        self.service = WebhookService(self._scene.database, self._settings, actor="test")

    def _source(self, name: str, key: str, config: dict[str, Any]) -> SourceConfig:
        file = self._folder / f"{name}.secret"
        file.write_text(SENDERS[name].secret(key))
        return SourceConfig(name, secret_file=(str(file),), **config)

    def take(
        self, name: str, body: bytes, headers: dict[str, str] | None = None, *, verify: bool = True, **options: Any
    ) -> WebhookResult:
        webhook = Webhook(self._settings, name, verify=verify)
        return self.service.ingest(Request.of(body, headers or {}, URL), webhook, **options)


@pytest.fixture
def hooks(scene: Scene, tmp_path: Path) -> Hooks:
    return Hooks(scene, tmp_path)


KEPT_BY_NOBODY = {
    "Authorization": "Basic eA==",
    "Cookie": "a=b",
    "Accept": "*/*",
    "ce-authtoken": "x",
    "webhook-secret": "x",
}


@pytest.mark.parametrize("name", names())
def test_what_was_refused_can_be_replayed_once_its_secret_is_known(scene: Scene, hooks: Hooks, name: str) -> None:
    """Whatever a provider signs or tells events apart by is kept, nothing else is, and credentials never."""
    if (kind := SENDERS[name].first[0]) not in set(EventType):
        scene.events.add_type(kind)
    request = signed(name, NOON, NEW)
    assert hooks.take(name, request.body, KEPT_BY_NOBODY | request.headers).totals.recorded == 0
    (kept,) = hooks.service.quarantined_ids()
    row = hooks.service.get_quarantined(kept)
    with_credentials = "Authorization" in provider(name).headers
    own = {header.lower(): value for header, value in request.headers.items() if header != "Authorization"}
    assert dict(row.headers) == own
    assert row.url == (URL if provider(name).signs_url else None)
    scene.at(24 * 60)
    hooks.know(NEW)
    if with_credentials:
        with pytest.raises(MissingCredentialError, match="Authorization"):
            hooks.service.replay(kept)
    replayed = hooks.service.replay(kept, verify=not with_credentials)[1]
    assert (replayed.totals.recorded, replayed.verified) == (SENDERS[name].recorded, not with_credentials)
    ids = {event.external_id for event in scene.events.list_events()}
    assert SENDERS[name].first[2] in ids
    assert hooks.service.quarantined_ids() == []


def test_what_was_refused_for_its_contact_is_replayed_under_its_token(scene: Scene, hooks: Hooks) -> None:
    """Remembered since it came, the token is no obstacle to the very content that it came with."""
    hooks.know(OLD, contact="user-variables.nobody")
    body = json.loads(SENDERS["mailgun"].body)
    recipient = body["event-data"].pop("recipient")
    request = signed("mailgun", NOON, OLD, json.dumps(body).encode())
    (refusal,) = hooks.take("mailgun", request.body).refusals
    forged = json.loads(request.body)
    forged["event-data"]["recipient"] = recipient
    assert hooks.take("mailgun", json.dumps(forged).encode()).totals.recorded == 0
    hooks.know(OLD, contact="user-variables.user_id")
    assert refusal.quarantine_id is not None
    assert hooks.service.replay(refusal.quarantine_id)[1].totals.recorded == 1
    assert [event.contact_id for event in scene.events.list_events()] == ["u-17"]


@pytest.mark.parametrize("name", names())
def test_a_request_comes_once_whatever_else_its_headers_say(scene: Scene, hooks: Hooks, name: str) -> None:
    """What no signature covers makes no second event of a body that is signed."""
    if (kind := SENDERS[name].first[0]) not in set(EventType):
        scene.events.add_type(kind)
    request = signed(name, NOON, OLD)
    assert hooks.take(name, request.body, request.headers).totals.recorded == SENDERS[name].recorded
    sent_anew = hooks.take(name, request.body, request.headers).totals
    assert (sent_anew.duplicates, sent_anew.recorded, sent_anew.rejected) == (SENDERS[name].recorded, 0, 0)
    for header, value in request.headers.items():
        forged = hooks.take(name, request.body, request.headers | {header: f"{value}1"}).totals
        assert forged.recorded == 0, header
        assert forged.rejected or header == "Content-Type", header


def test_a_header_that_came_twice_is_refused(scene: Scene, hooks: Hooks) -> None:
    headers = {"ce-specversion": "1.0", "ce-type": "page_visit", "ce-source": "/", "ce-id": "1", "ce-subject": "ada"}
    webhook = Webhook(Settings(scene.url), "cloudevents")
    for pairs, recorded in ((list(headers.items()), 1), ([*headers.items(), ("CE-Subject", "eve")], 0)):
        assert hooks.service.ingest(Request.of(b"", pairs), webhook).totals.recorded == recorded
    (kept,) = hooks.service.list_quarantined()
    assert kept.message == "the header ce-subject came more than once"
    assert "ce-subject" not in kept.headers


def test_what_nobody_verified_uses_no_token_up(scene: Scene, hooks: Hooks) -> None:
    request = signed("mailgun", NOON, OLD)
    forged = request.body.replace(b"opened", b"accepted")
    assert hooks.take("mailgun", forged, verify=False).totals.ignored == 1
    assert hooks.take("mailgun", request.body).totals.recorded == 1


def test_a_replay_is_verified_as_of_when_it_came(scene: Scene, hooks: Hooks) -> None:
    wait = scene.listen("appointment_booked", contact="ada@example.org", timeout="3d")
    request = signed("calendly", NOON, NEW)
    refused = hooks.take("calendly", request.body, request.headers)
    (kept,) = (refusal.quarantine_id for refusal in refused.refusals)
    assert kept is not None
    scene.at(60)
    again = hooks.service.replay(kept[-12:])[1]
    assert (again.totals.rejected, again.totals.recorded) == (1, 0)
    assert hooks.service.get_quarantined(kept).replayed_at == NOON + 60 * MINUTE
    hooks.know(NEW)
    assert hooks.service.replay(kept)[1].totals.matched == 1
    assert scene.get(wait).resolution == "event"
    with pytest.raises(QuarantineNotFoundError):
        hooks.service.replay(kept)


def test_what_was_verified_once_is_not_verified_again(scene: Scene, hooks: Hooks) -> None:
    """Its contact stood elsewhere than the config said; Postmark's credentials are not kept."""
    request = signed("postmark", NOON, OLD)
    body = json.loads(request.body)
    del body["Recipient"]
    body["Metadata"] = {"user_id": "u-17"}
    refused = hooks.take("postmark", json.dumps(body).encode(), request.headers)
    (row,) = hooks.service.list_quarantined()
    assert (row.verified, row.headers, row.body) == (True, {}, b"")
    assert "names no contact" in row.message
    hooks.know(OLD, contact="Metadata.user_id")
    identifier, result = hooks.service.replay(row.id)
    assert (identifier, result.totals.recorded) == (refused.refusals[0].quarantine_id, 1)
    assert [event.contact_id for event in scene.events.list_events()] == ["u-17"]
    assert hooks.service.list_quarantined() == []


def test_wrong_credentials_are_replayed_unverified_alone(scene: Scene, hooks: Hooks) -> None:
    request = signed("postmark", NOON, NEW)
    hooks.take("postmark", request.body, request.headers)
    (kept,) = hooks.service.quarantined_ids()
    with pytest.raises(MissingCredentialError, match="Authorization"):
        hooks.service.replay(kept)
    assert hooks.service.replay(kept, verify=False)[1].totals.recorded == 1


def test_a_whole_batch_replayed_leaves_what_is_bad_of_it(scene: Scene, hooks: Hooks) -> None:
    broken = b'[{"event": "open", "email": "ada", "sg_event_id": "1"}, {"event": "open"}'
    hooks.take("sendgrid", broken, verify=False)
    (kept,) = hooks.service.quarantined_ids()
    scene.sql("UPDATE workflow_event_quarantine SET body = :body", body=broken + b"]")
    result = hooks.service.replay(kept, verify=False)[1]
    assert (result.totals.recorded, result.totals.rejected) == (1, 1)
    (left,) = hooks.service.quarantined_ids()
    assert left != kept
    assert json.loads(hooks.service.get_quarantined(left).body) == [{"event": "open"}]
    assert hooks.service.replay(left, verify=False)[1].totals.rejected == 1
    assert hooks.service.drop(left[:13]) == left
    assert hooks.service.quarantined_ids() == []
    with pytest.raises(QuarantineNotFoundError):
        hooks.service.drop(left)


def test_an_empty_batch_is_nothing(scene: Scene, hooks: Hooks) -> None:
    assert hooks.take("sendgrid", b"[]", verify=False).totals.received == 0


def test_what_was_cut_cannot_be_replayed(scene: Scene, hooks: Hooks) -> None:
    hooks.take("sendgrid", b"[" + b" " * 2_000_000, verify=False)
    (kept,) = hooks.service.quarantined_ids()
    row = hooks.service.get_quarantined(kept)
    assert (row.is_cut, len(row.body), row.size) == (True, 1024 * 1024, 2_000_001)
    with pytest.raises(PayloadCutError):
        hooks.service.replay(kept)


@pytest.mark.parametrize("minutes", [10, 11])
def test_how_old_a_signature_may_be_is_for_the_source_to_say(scene: Scene, hooks: Hooks, minutes: int) -> None:
    hooks.know(OLD, tolerance=10 * MINUTE)
    request = signed("calendly", NOON, OLD)
    scene.at(minutes)
    with pytest.raises(InvalidSettingError, match="calcom signs no instant"):
        hooks.take("calcom", b"{}")
    assert hooks.take("calendly", request.body, request.headers).totals.recorded == (minutes == 10)


def kept_bodies(hooks: Hooks) -> list[bytes]:
    """What is in quarantine, oldest first."""
    return [hooks.service.get_quarantined(each).body for each in hooks.service.quarantined_ids()]


def test_of_a_source_so_many_are_kept_and_the_oldest_go(scene: Scene, hooks: Hooks) -> None:
    hooks.know(OLD, max_quarantined=3)
    nameless = signed("calcom", NOON, OLD, b'{"triggerEvent": "BOOKING_CREATED", "payload": {"attendees": []}}')
    hooks.take("calcom", nameless.body, nameless.headers)
    hooks.take("typeform", b"another source", {"Typeform-Signature": "x"})
    for number in range(5):
        scene.at(number)
        hooks.take("calcom", b"%d" % number, {"X-Cal-Signature-256": "forged"})
    # Forged ones push each other out, and not the one that is genuine.
    assert kept_bodies(hooks) == [nameless.body, b"another source", b"3", b"4"]
    assert scene.waits.list_pending_waits().quarantined == 4
    report = scene.tick()
    assert (report.quarantined, report.did_nothing) == (4, True)


def test_of_a_source_so_many_bytes_are_kept(scene: Scene, hooks: Hooks) -> None:
    large = b"x" * 1024 * 1024
    for number in range(66):
        scene.at(number)
        hooks.take("calcom", b"%02d" % number + large, {"X-Cal-Signature-256": "forged"})
    assert [body[:2] for body in kept_bodies(hooks)] == [b"%02d" % number for number in range(2, 66)]


@pytest.mark.parametrize(("days", "left"), [(7, 2), (8, 1), (30, 1), (31, 0)])
def test_what_is_too_old_leaves_with_a_tick(scene: Scene, hooks: Hooks, days: int, left: int) -> None:
    hooks.know(OLD)
    hooks.take("calcom", b"x", {"X-Cal-Signature-256": "forged"})
    hooks.take("typeform", b"x", {"Typeform-Signature": "forged"})
    scene.at(days * 24 * 60)
    sources = {"typeform": SourceConfig("typeform", max_quarantine_age=timedelta(days=7))}
    report = Tick(scene.database, Settings(scene.url, sources=sources)).run()
    assert (report.quarantined, len(hooks.service.quarantined_ids())) == (left, left)


def test_what_failed_its_signature_needs_its_secret_still(scene: Scene, hooks: Hooks) -> None:
    """A config that was lost is no way around it, not even where the format belongs to nobody."""
    forged = signed("cloudevents", NOON, NEW)
    hooks.take("cloudevents", forged.body, forged.headers)
    (kept,) = hooks.service.quarantined_ids()
    elsewhere = WebhookService(scene.database, Settings(scene.url))
    with pytest.raises(MissingCredentialError, match="no secret any more"):
        elsewhere.replay(kept)
    assert elsewhere.replay(kept, verify=False)[1].totals.recorded == 1


def test_a_dry_run_keeps_nothing(scene: Scene, hooks: Hooks) -> None:
    assert hooks.take("sendgrid", b"{", verify=False, dry_run=True).refusals[0].quarantine_id is None
    assert hooks.service.quarantined_ids() == []


# -- events that expire ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "matches"), [(0, False), (0.01, True), (-5, False)])
@pytest.mark.parametrize("exclusive", [False, True])
def test_an_event_that_has_expired_matches_nothing(
    scene: Scene, minutes: float, matches: bool, exclusive: bool
) -> None:
    wait = scene.listen(exclusive=exclusive)
    result = scene.record(expires_at=NOON + timedelta(minutes=minutes))
    assert result.matched == ((wait.id,) if matches else ())
    assert len(scene.events.list_events()) == 1


@pytest.mark.parametrize(("minutes", "status"), [(0.4, "waiting"), (0.5, "waiting"), (0.6, "resumed")])
def test_looking_back_it_counts_when_the_wait_is_created(scene: Scene, minutes: float, status: str) -> None:
    scene.record(expires_at=NOON + timedelta(minutes=minutes))
    assert scene.at(0.5).listen().status == status


@pytest.mark.parametrize("expires_at", ["2026-03-01 11:59:59+00:00", "2027-03-01T00:00:00Z"])
def test_at_the_inbox_table(scene: Scene, expires_at: str) -> None:
    wait = scene.listen()
    scene.sql(
        "INSERT INTO workflow_events (event_type, contact_id, received_at, expires_at) "
        f"VALUES ('email_open', 'ada', '2026-03-01 12:00:00.000000', '{expires_at}')"
    )
    scene.tick()
    assert scene.statuses(wait) == ("resumed" if expires_at.startswith("2027") else "waiting")
    (event,) = scene.events.list_events()
    assert event.expires_at is not None
