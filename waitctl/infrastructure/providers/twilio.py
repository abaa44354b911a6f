"""Twilio's webhooks for messages: SMS, MMS and WhatsApp."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

from waitctl.domain.errors import InvalidEventError, InvalidSettingError, InvalidSignatureError, MissingCredentialError
from waitctl.domain.events import EventType
from waitctl.infrastructure.providers import ContactPath, Mapped, Once, Provider, Request
from waitctl.infrastructure.providers.common import bodies
from waitctl.infrastructure.providers.common.forms import pairs_of
from waitctl.infrastructure.providers.common.signatures import (
    as_bytes,
    base64_hmac,
    header,
    hmac_key,
    keys,
    require_match,
)

_SIGNATURE = "X-Twilio-Signature"
_ID = "MessageSid"
_MESSAGE = re.compile(r"(?:SM|MM)[0-9a-fA-F]{32}")
_PORTS = {"https": 443, "http": 80}


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The message that came in, or what became of one that went out.

    Raises `InvalidEventError` where no message is named.
    """
    event = bodies.object_of(request) if _is_json(request) else dict(pairs_of(request.body))
    message = bodies.required(event, _ID)
    if not _MESSAGE.fullmatch(message):
        raise InvalidEventError("'MessageSid' is not SM or MM and 32 hexadecimal digits")
    status = bodies.optional(event, "MessageStatus") or bodies.optional(event, "SmsStatus") or "received"
    if status == "received":
        event_type, external_id, other = str(EventType.SMS_REPLY), message, "From"
    else:  # about a message of ours, many a message
        event_type, external_id, other = bodies.foreign_type("twilio", status), f"{message}:{status}", "To"
    contact = bodies.contact_of(path, event, bodies.optional(event, other))
    once = Once(external_id, bodies.digest(event))
    return [Mapped(event_type, contact, event, external_id, occurred_at=None, once=once)]


def _is_json(request: Request) -> bool:
    """No form begins so: there a brace is percent-encoded."""
    return bodies.without_mark(request.body).lstrip().startswith(b"{")


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the HMAC over the URL as Twilio knows it and over what was posted; a secret is an auth token.

    Raises `InvalidSignatureError`, or without a URL `MissingCredentialError`.
    """
    given = header(request, _SIGNATURE)
    if not request.url:
        raise MissingCredentialError("Twilio signs the URL of its webhook: it is missing", hint="give it by --url")
    urls = _spellings(request.url)
    if _is_json(request):
        _check_hash(request.body, request.url)
        parameters = ""
    else:
        parameters = _signed_text(pairs_of(request.body))
    messages = [as_bytes(url + parameters) for url in urls]
    require_match(
        [as_bytes(given)], [base64_hmac(key, each, "sha1") for key in keys(secrets, hmac_key) for each in messages]
    )


def _signed_text(form: list[tuple[str, str]]) -> str:
    """The parameters as Twilio signs them, with nothing between them: cut elsewhere, they would be signed as well.

    Raises `InvalidSignatureError` where the id of a message stands across such a cut, and so may be another's.
    """
    text = "".join(name + value for name, value in sorted(set(form)))
    whole = sum(name.endswith(_ID) and bool(_MESSAGE.fullmatch(value)) for name, value in set(form))
    if len(re.findall(f"{_ID}{_MESSAGE.pattern}", text)) != whole:
        raise InvalidSignatureError("the id of a message runs into another parameter")
    return text


def _check_hash(body: bytes, url: str) -> None:
    """JSON is covered by its hash, which is a parameter of the URL."""
    (expected, *_) = parse_qs(urlsplit(url).query).get("bodySHA256", [""])
    if not hmac.compare_digest(as_bytes(expected.lower()), sha256(body).hexdigest().encode()):
        raise InvalidSignatureError("the body is not the one whose hash is in the URL")


def _spellings(url: str) -> list[str]:
    """The URL as it is, without its port and with: which one Twilio signs depends on the scheme and the product."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        head, place, tail = url.partition(f"//{parts.netloc}")
    except (ValueError, KeyError) as cause:
        raise InvalidSettingError("the URL of the webhook is not one of http or https") from cause
    bare = place.removesuffix(f":{port}")
    return [url, f"{head}{bare}{tail}", f"{head}{bare}:{port}{tail}"]


PROVIDER = Provider(
    "twilio",
    needs=f"the header {_SIGNATURE}, the public URL as Twilio has it, and the auth token as its secret",
    maps="an incoming message → sms_reply",
    parse=parse,
    verify=verify,
    check_secret=hmac_key,
    headers=(_SIGNATURE,),
    signs_url=True,
)
