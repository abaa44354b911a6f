"""The quarantine and its replays, and events that expire, on both databases."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.scene import MINUTE, NOON, Scene
from tests.signing import NEW, OLD, signed
from waitctl import Settings
from waitctl.application.events.webhooks import Webhook, WebhookResult, WebhookService
from waitctl.domain.errors import MissingCredentialError, PayloadCutError, QuarantineNotFoundError
from waitctl.infrastructure.config import SourceConfig
from waitctl.infrastructure.providers import Request


class Hooks:
    """A host that takes webhooks in; ``key`` is the secret that it knows."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self._scene, self._file = scene, folder / "secret"
        self.know(OLD)

    def know(self, key: str, **config: Any) -> None:
        self._file.write_text(key)
        secret = (str(self._file),)
        sources = {
            name: SourceConfig(name, secret_file=secret, **config) for name in ("calendly", "calcom", "postmark")
        }
        self._settings = Settings(self._scene.url, sources=sources | {"sendgrid": SourceConfig("sendgrid", **config)})
        self.service = WebhookService(self._scene.database, self._settings, actor="test")

    def take(self, name: str, body: bytes, headers: dict[str, str] | None = None, **options: Any) -> WebhookResult:
        return self.service.ingest(Request.of(body, headers), Webhook(self._settings, name), **options)


@pytest.fixture
def hooks(scene: Scene, tmp_path: Path) -> Hooks:
    return Hooks(scene, tmp_path)


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
    hooks.take("sendgrid", broken)
    (kept,) = hooks.service.quarantined_ids()
    scene.sql("UPDATE workflow_event_quarantine SET body = :body", body=broken + b"]")
    result = hooks.service.replay(kept)[1]
    assert (result.totals.recorded, result.totals.rejected) == (1, 1)
    (left,) = hooks.service.quarantined_ids()
    assert left != kept
    assert json.loads(hooks.service.get_quarantined(left).body) == [{"event": "open"}]
    assert hooks.service.replay(left)[1].totals.rejected == 1
    assert hooks.service.drop(left[:13]) == left
    assert hooks.service.quarantined_ids() == []
    with pytest.raises(QuarantineNotFoundError):
        hooks.service.drop(left)


def test_an_empty_batch_is_nothing(scene: Scene, hooks: Hooks) -> None:
    assert hooks.take("sendgrid", b"[]").totals.received == 0


def test_what_was_cut_cannot_be_replayed(scene: Scene, hooks: Hooks) -> None:
    hooks.take("sendgrid", b"[" + b" " * 2_000_000)
    (kept,) = hooks.service.quarantined_ids()
    row = hooks.service.get_quarantined(kept)
    assert (row.is_cut, len(row.body), row.size) == (True, 1024 * 1024, 2_000_001)
    with pytest.raises(PayloadCutError):
        hooks.service.replay(kept)


def test_a_dry_run_keeps_nothing(scene: Scene, hooks: Hooks) -> None:
    assert hooks.take("sendgrid", b"{", dry_run=True).refusals[0].quarantine_id is None
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
