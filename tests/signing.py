"""Every provider as tests know it: its fixture, how it signs, and what becomes of the fixture.

A provider that is new has one entry in `SENDERS` and one fixture in `tests/providers`; the tables of
`tests/unit/test_providers*.py`, `tests/service/test_webhooks.py` and `tests/cli/test_cli_webhooks.py` do the rest.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FIXTURES = Path(__file__).parent / "providers"
URL = "https://example.org/hooks?for=us"
OLD, NEW = "older:s3cret-of-many-bytes", "newer:s3cret-of-many-bytes"
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Signed:
    """A request on its way."""

    body: bytes
    headers: dict[str, str]

    def header_lines(self) -> str:
        """The headers as curl prints them."""
        return "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())


@dataclass(frozen=True)
class Sender:
    """A provider. ``first``: type, contact and id of the first event of its fixture, ``recorded`` how many are known.

    ``window``: how old a signature may be; ``covers_body``: whether it is over the body; ``unsigned``: headers, in
    lower case, that it sends and no signature needs.
    """

    fixture: str
    sign: Callable[[bytes, str, str], Signed]
    first: tuple[str, str | None, str | None]
    secret: Callable[[str], str] = lambda key: key
    window: timedelta | None = None
    covers_body: bool = True
    unsigned: frozenset[str] = frozenset()
    recorded: int = 1

    @property
    def body(self) -> bytes:
        """The fixture."""
        return (FIXTURES / self.fixture).read_bytes()


def encoded(key: str) -> bytes:
    """A key as bytes, those that are no UTF-8 as well."""
    return key.encode(errors="surrogateescape")


def ec_key(key: str, curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """The private key that belongs to a name."""
    return ec.derive_private_key(int.from_bytes(sha256(encoded(key)).digest()[:16]), curve or ec.SECP256R1())


def public_der(key: ec.EllipticCurvePrivateKey) -> str:
    """Its public key as providers show it: SPKI, DER, base64."""
    return b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def hex_of(key: str, message: bytes) -> str:
    """The HMAC-SHA-256 in hexadecimal digits."""
    return hmac.digest(encoded(key), message, "sha256").hex()


def base64_of(key: str, message: bytes, digest: str = "sha256") -> str:
    """The HMAC in base64."""
    return b64encode(hmac.digest(encoded(key), message, digest)).decode()


def whsec(key: str) -> str:
    """A secret of Standard Webhooks."""
    return f"whsec_{b64encode(encoded(key)).decode()}"


def _sendgrid(body: bytes, key: str, unix: str) -> Signed:
    signature = ec_key(key).sign(unix.encode() + body, ec.ECDSA(SHA256()))
    prefix = "X-Twilio-Email-Event-Webhook"
    return Signed(body, {f"{prefix}-Signature": b64encode(signature).decode(), f"{prefix}-Timestamp": unix})


def _mailgun(body: bytes, key: str, unix: str) -> Signed:
    document = json.loads(body)
    token = document["signature"]["token"]
    document["signature"] |= {"timestamp": unix, "signature": hex_of(key, f"{unix}{token}".encode())}
    return Signed(json.dumps(document).encode(), {})


def _basic(body: bytes, key: str, _: str) -> Signed:
    return Signed(body, {"Authorization": f"Basic {b64encode(encoded(key)).decode()}"})


def _twilio(body: bytes, key: str, _: str) -> Signed:
    message = URL + "".join(name + value for name, value in sorted(parse_qsl(body.decode(), keep_blank_values=True)))
    return Signed(body, {"X-Twilio-Signature": base64_of(key, message.encode(), "sha1")})


def _typeform(body: bytes, key: str, _: str) -> Signed:
    return Signed(body, {"Typeform-Signature": f"sha256={base64_of(key, body)}"})


def _calendly(body: bytes, key: str, unix: str) -> Signed:
    return Signed(body, {"Calendly-Webhook-Signature": f"t={unix},v1={hex_of(key, f'{unix}.'.encode() + body)}"})


def _calcom(body: bytes, key: str, _: str) -> Signed:
    return Signed(body, {"X-Cal-Signature-256": hex_of(key, body)})


def _standard(body: bytes, key: str, unix: str) -> Signed:
    signature = base64_of(key, f"msg_1.{unix}.".encode() + body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": unix, "webhook-signature": f"v1,AAAA v1,{signature}"}
    return Signed(body, headers)


def _svix(body: bytes, key: str, unix: str) -> Signed:
    as_standard = _standard(body, key, unix).headers
    return Signed(body, {name.replace("webhook-", "svix-"): value for name, value in as_standard.items()})


def _stripe(body: bytes, key: str, unix: str) -> Signed:
    return Signed(body, {"Stripe-Signature": f"t={unix},v1={'0' * 64},v1={hex_of(key, f'{unix}.'.encode() + body)}"})


def _github(body: bytes, key: str, _: str) -> Signed:
    signature = {"X-Hub-Signature-256": f"sha256={hex_of(key, body)}"}
    return Signed(body, signature | {"X-GitHub-Event": "issues", "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab"})


def _hubspot(body: bytes, key: str, unix: str) -> Signed:
    timestamp = f"{unix}000"
    signature = base64_of(key, f"POST{URL}".encode() + body + timestamp.encode())
    return Signed(body, {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": timestamp})


def _mailgun_routes(body: bytes, key: str, unix: str) -> Signed:
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
    signature = hex_of(key, f"{unix}{fields['token']}".encode())
    signed_body = urlencode(fields | {"timestamp": unix, "signature": signature}).encode()
    return Signed(signed_body, {"Content-Type": "application/x-www-form-urlencoded"})


def _sendgrid_inbound(body: bytes, key: str, unix: str) -> Signed:
    return Signed(body, _basic(body, key, unix).headers | {"Content-Type": "multipart/form-data; boundary=xYzZY"})


SENDERS = {
    "cloudevents": Sender(
        "cloudevents.json",
        _standard,
        ("page_visit", "ada@example.org", "https://example.org/site A234-1234-1234"),
        whsec,
        5 * MINUTE,
    ),
    "standardwebhooks": Sender(
        "standardwebhooks.json", _standard, ("invoice.paid", "ada@example.org", "msg_1"), whsec, 5 * MINUTE
    ),
    "sendgrid": Sender(
        "sendgrid.json",
        _sendgrid,
        ("email_open", "Ada@Example.org", "b3Blbi0x"),
        lambda key: public_der(ec_key(key)),
        5 * MINUTE,
        recorded=2,
    ),
    "mailgun": Sender(
        "mailgun.json",
        _mailgun,
        ("email_open", "ada@example.org", "0f4c1a7be2d9"),
        window=12 * 60 * MINUTE,
        covers_body=False,
    ),
    "postmark": Sender(
        "postmark.json",
        _basic,
        ("email_open", "ada@example.org", "cbdb0aa41858bec4b39945da82b2e73e7029b727d976b54d09f7e1cef155011e"),
        covers_body=False,
    ),
    "twilio": Sender("twilio.txt", _twilio, ("sms_reply", "+4915112345678", "SM00000000000000000000000000000001")),
    "typeform": Sender(
        "typeform.json", _typeform, ("form_submit", "ada@example.org", "a3a12ec67a1365927098a606107fac15")
    ),
    "calendly": Sender(
        "calendly.json",
        _calendly,
        (
            "appointment_booked",
            "ada@example.org",
            "https://api.calendly.com/scheduled_events/E1/invitees/I1#invitee.created",
        ),
        window=3 * MINUTE,
    ),
    "calcom": Sender(
        "calcom.json",
        _calcom,
        ("appointment_booked", "ada@example.org", "BOOKING_CREATED:bFJeNb2uX8ANpT3JL5EfXw:2026-01-01T09:00:00.538Z"),
    ),
    "resend": Sender("resend.json", _svix, ("email_open", "ada@example.org", "msg_1"), whsec, 5 * MINUTE),
    "stripe": Sender(
        "stripe.json",
        _stripe,
        ("stripe.invoice.paid", "ada@example.org", "evt_1MrV4fLkdIwHu7ixVvq0jLcD"),
        window=5 * MINUTE,
    ),
    "github": Sender(
        "github.json",
        _github,
        ("github.issues.opened", "ada", "72d3162e-cc78-11e3-81ab"),
        unsigned=frozenset({"x-github-event", "x-github-delivery"}),
    ),
    "hubspot": Sender(
        "hubspot.json",
        _hubspot,
        ("hubspot.contact.propertychange", "1017", "100:51:1767258000123"),
        window=5 * MINUTE,
    ),
    "mailgun-routes": Sender(
        "mailgun_routes.txt",
        _mailgun_routes,
        ("email_reply", "Ada@Example.org", "reply-1@example.org"),
        window=12 * 60 * MINUTE,
        covers_body=False,
        unsigned=frozenset({"content-type"}),
    ),
    "sendgrid-inbound": Sender(
        "sendgrid_inbound.bin",
        _sendgrid_inbound,
        ("email_reply", "Ada@Example.org", "reply-2@example.org"),
        covers_body=False,
        unsigned=frozenset({"content-type"}),
    ),
}


def signed(name: str, at: datetime, key: str = NEW, body: bytes | None = None) -> Signed:
    """The fixture of a provider, or another body, signed at an instant."""
    sender = SENDERS[name]
    return sender.sign(sender.body if body is None else body, key, str(int(at.timestamp())))
