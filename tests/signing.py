"""Webhooks as their providers sign them, for tests by process: a body, its headers and its URL."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FIXTURES = Path(__file__).parent / "providers"
URL = "https://example.org/hooks?for=us"
OLD, NEW = "0lder-s3cret", "n3wer-s3cret"
KEYS = {name: ec.derive_private_key(number, ec.SECP256R1()) for number, name in enumerate((OLD, NEW), 7)}


@dataclass(frozen=True)
class Signed:
    """A request on its way."""

    body: bytes
    headers: dict[str, str]

    def header_lines(self) -> str:
        """The headers as curl prints them."""
        return "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())


def _hmac(key: str, message: bytes, digest: str = "sha256") -> bytes:
    return hmac.digest(key.encode(), message, digest)


def _sendgrid(body: bytes, key: str, unix: str) -> Signed:
    signature = KEYS[key].sign(unix.encode() + body, ec.ECDSA(SHA256()))
    prefix = "X-Twilio-Email-Event-Webhook"
    return Signed(body, {f"{prefix}-Signature": b64encode(signature).decode(), f"{prefix}-Timestamp": unix})


def _mailgun(body: bytes, key: str, unix: str) -> Signed:
    document = json.loads(body)
    token = document["signature"]["token"]
    document["signature"] |= {"timestamp": unix, "signature": _hmac(key, f"{unix}{token}".encode()).hex()}
    return Signed(json.dumps(document).encode(), {})


def _postmark(body: bytes, key: str, _: str) -> Signed:
    return Signed(body, {"Authorization": f"Basic {b64encode(key.encode()).decode()}"})


def _twilio(body: bytes, key: str, _: str) -> Signed:
    message = URL + "".join(name + value for name, value in sorted(parse_qsl(body.decode(), keep_blank_values=True)))
    return Signed(body, {"X-Twilio-Signature": b64encode(_hmac(key, message.encode(), "sha1")).decode()})


def _typeform(body: bytes, key: str, _: str) -> Signed:
    return Signed(body, {"Typeform-Signature": f"sha256={b64encode(_hmac(key, body)).decode()}"})


def _calendly(body: bytes, key: str, unix: str) -> Signed:
    return Signed(body, {"Calendly-Webhook-Signature": f"t={unix},v1={_hmac(key, f'{unix}.'.encode() + body).hex()}"})


def _calcom(body: bytes, key: str, _: str) -> Signed:
    return Signed(body, {"X-Cal-Signature-256": _hmac(key, body).hex()})


def _standard(body: bytes, key: str, unix: str) -> Signed:
    signature = b64encode(_hmac(key, f"msg_1.{unix}.".encode() + body)).decode()
    return Signed(body, {"webhook-id": "msg_1", "webhook-timestamp": unix, "webhook-signature": f"v1,{signature}"})


@dataclass(frozen=True)
class Sender:
    """A provider: its fixture, how it signs, what of its own its user configures, and what is signed."""

    fixture: str
    sign: Callable[[bytes, str, str], Signed]
    secret: Callable[[str], str] = lambda key: key
    goes_stale: bool = True
    covers_body: bool = True
    recorded: int = 1


def _whsec(key: str) -> str:
    return f"whsec_{b64encode(key.encode()).decode()}"


def _public(key: str) -> str:
    encoded = KEYS[key].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(encoded).decode()


SENDERS = {
    "cloudevents": Sender("cloudevents.json", _standard, _whsec),
    "standardwebhooks": Sender("standardwebhooks.json", _standard, _whsec),
    "sendgrid": Sender("sendgrid.json", _sendgrid, _public, recorded=2),
    "mailgun": Sender("mailgun.json", _mailgun, covers_body=False),
    "postmark": Sender("postmark.json", _postmark, goes_stale=False, covers_body=False),
    "twilio": Sender("twilio.txt", _twilio, goes_stale=False),
    "typeform": Sender("typeform.json", _typeform, goes_stale=False),
    "calendly": Sender("calendly.json", _calendly),
    "calcom": Sender("calcom.json", _calcom, goes_stale=False),
}


def signed(name: str, at: datetime, key: str = NEW, body: bytes | None = None) -> Signed:
    """The fixture of a provider, signed at an instant."""
    sender = SENDERS[name]
    return sender.sign(
        (FIXTURES / sender.fixture).read_bytes() if body is None else body, key, str(int(at.timestamp()))
    )
