"""Webhooks as the Standard Webhooks specification has them, whoever sends them.

The specification's own library is not used: its replay window is fixed to the host's clock, where time is an argument
here; it knows no ``v1a``; and a header or a body that is malformed leaves it as a bare ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from waitctl.domain.errors import InvalidSettingError
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.providers import ContactPath, Mapped, Provider, Request
from waitctl.infrastructure.providers.common import bodies
from waitctl.infrastructure.providers.common.signatures import (
    TOLERANCE,
    as_bytes,
    base64_hmac,
    from_base64,
    header,
    keys,
    require_fresh,
    require_match,
    require_no_public_key,
)

_ID, _TIMESTAMP, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_SVIX = "svix-id", "svix-timestamp", "svix-signature"
"""The same, as those name them who send by Svix."""

_PUBLIC = "whpk_"
_PUBLIC_BYTES = 32
_PRIVATE = "whsec_"
_LEAST_BYTES = 24


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The event of a delivery. The path begins at the envelope (``data.user_id``) or at the data (``user_id``)."""
    event = bodies.object_of(request)
    data = _data(event)
    inside = path.find(data) if path else None
    usual = (bodies.optional(data, key) for key in ("email", "contact", "phone"))
    mapped = Mapped(
        event_type=bodies.required(event, "type"),
        contact=bodies.contact_of(path, event, inside, *usual),
        data=data,
        external_id=message_id(request),
        occurred_at=bodies.instant_of(event.get("timestamp"), "timestamp"),
    )
    return [mapped]


def _names(request: Request) -> tuple[str, str, str]:
    """The headers that the sender uses; never some of both."""
    own = (_ID, _TIMESTAMP, _SIGNATURE)
    is_svix = request.headers.keys().isdisjoint(own) and not request.headers.keys().isdisjoint(_SVIX)
    return _SVIX if is_svix else own


def message_id(request: Request) -> str | None:
    """The id that is signed, the same whenever the message is sent again."""
    return request.headers.get(_names(request)[0])


def _data(event: JsonObject) -> JsonObject:
    data = event.get("data", {})
    return data if isinstance(data, dict) else {"data": data}


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the signatures over id, timestamp and body: ``v1`` by a shared secret, ``v1a`` by a public key."""
    identifier, timestamp, signatures = (header(request, name) for name in _names(request))
    given = [each.partition(",") for each in signatures.split()]
    message = as_bytes(f"{identifier}.{timestamp}.") + request.body
    all_keys = keys(secrets, _key)
    shared, public = ([key for is_public, key in all_keys if is_public is kind] for kind in (False, True))
    signed = {version: [value for each, _, value in given if each == version] for version in ("v1", "v1a")}
    if not _signed_by_public_key(public, signed["v1a"], message):
        require_match(map(as_bytes, signed["v1"]), [base64_hmac(key, message) for key in shared])
    require_fresh(timestamp, now, tolerance)


@lru_cache(64)  # a server verifies by the same few with every request
def _key(secret: str) -> tuple[bool, bytes]:
    """A secret as bytes, and whether it is a public key. Raises `InvalidSettingError` for what can be neither."""
    is_public = secret.startswith(_PUBLIC)
    decoded = from_base64(secret.removeprefix(_PUBLIC if is_public else _PRIVATE))
    if not decoded:
        raise InvalidSettingError("the secret is not base64", hint="as in whsec_… or whpk_…")
    if is_public and len(decoded) != _PUBLIC_BYTES:
        raise InvalidSettingError(f"the secret is not a public key of {_PUBLIC_BYTES} bytes")
    if not is_public and len(require_no_public_key(decoded)) < _LEAST_BYTES:
        raise InvalidSettingError(
            f"the secret is too short to be one of Standard Webhooks: {len(decoded)} bytes",
            hint=f"{_LEAST_BYTES} bytes or more in base64, as in whsec_…",
        )
    return is_public, decoded


def _signed_by_public_key(public_keys: list[bytes], signatures: list[str], message: bytes) -> bool:
    if not (public_keys and signatures):
        return False
    from waitctl.infrastructure.providers.common.publickeys import ed25519_signed

    return any(ed25519_signed(key, from_base64(each) or b"", message) for key in public_keys for each in signatures)


PROVIDER = Provider(
    "standardwebhooks",
    needs=f"the headers {_ID}, {_TIMESTAMP} and {_SIGNATURE} (or svix-…), and a secret: whsec_…, "
    "or whpk_… with waitctl[sendgrid]",
    maps="every type as it is",
    parse=parse,
    verify=verify,
    check_secret=_key,
    tolerance=TOLERANCE,
    headers=(_ID, _TIMESTAMP, _SIGNATURE, *_SVIX),
)
