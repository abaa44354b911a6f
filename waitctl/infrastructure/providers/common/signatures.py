"""Signatures: what every verification shares. No message here holds a secret, or a signature that would pass."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from waitctl.domain.durations import format_timedelta
from waitctl.domain.errors import InvalidSettingError, InvalidSignatureError, MissingCredentialError
from waitctl.infrastructure.providers import Request
from waitctl.infrastructure.providers.common.bodies import MILLISECONDS

TOLERANCE = timedelta(minutes=5)
"""How far a signed timestamp may lie from now, before or after it, unless the provider says otherwise."""

Key = TypeVar("Key")

_PUBLIC_KEY = re.compile(
    rb"""-----BEGIN | whpk_                      # PEM, Standard Webhooks
      | \x30.{1,3}\x30.{1,3}\x06(?:               # SubjectPublicKeyInfo in DER
            \x07\x2a\x86\x48\xce\x3d\x02\x01          # of an elliptic curve
          | \x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01  # RSA
          | \x03\x2b\x65[\x6e-\x71] )              # Ed25519 and its like
    """,
    re.VERBOSE | re.DOTALL,
)
_UNIX = re.compile(r"[0-9]{1,14}")  # no further than the year 5138


def header(request: Request, name: str) -> str:
    """The value of a header that has to be there. Raises `MissingCredentialError`."""
    value = request.headers.get(name.lower())
    if not value:
        raise MissingCredentialError(f"the request has no header {name}", hint="give its headers by --headers-file")
    return value


def keys(secrets: Sequence[str], read: Callable[[str], Key]) -> list[Key]:
    """The secrets as keys. Raises `MissingCredentialError` when there is none: an empty key signs for anybody.

    ``read`` raises `InvalidSettingError` for what can be no key.
    """
    if not secrets or not all(secrets):
        raise MissingCredentialError("no secret is configured to verify the webhook with")
    return [read(secret) for secret in secrets]


def hmac_key(secret: str) -> bytes:
    """A shared secret as bytes. Raises `InvalidSettingError` for a public key: everybody may have that."""
    return require_no_public_key(as_bytes(secret))


def require_no_public_key(key: bytes) -> bytes:
    """Return ``key``. Raises `InvalidSettingError` when it is a public key, as it is or in base64."""
    if _PUBLIC_KEY.match(key) or _PUBLIC_KEY.match(from_base64(key) or b""):
        raise InvalidSettingError("the secret is a public key: whoever has it could sign")
    return key


def as_bytes(text: str) -> bytes:
    """UTF-8, and for what the environment or JSON smuggled into a text, some bytes that are not."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")


def from_base64(text: str | bytes) -> bytes | None:
    """What is encoded in ``text``, None when it is not base64; missing padding is no harm."""
    encoded = as_bytes(text) if isinstance(text, str) else text
    try:
        return b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        return None


def base64_hmac(key: bytes, message: bytes, digest: str = "sha256") -> bytes:
    """The HMAC in base64."""
    return b64encode(hmac.digest(key, message, digest))


def hex_hmac(key: bytes, message: bytes) -> bytes:
    """The HMAC (SHA-256) in hexadecimal digits."""
    return hmac.digest(key, message, "sha256").hex().encode()


def basic_credentials(secret: str) -> bytes:
    """A secret that is ``user:password``, as bytes. Raises `InvalidSettingError` for another."""
    if not all(secret.partition(":")):
        raise InvalidSettingError("the secret is not of the form user:password")
    return as_bytes(secret)


def require_basic(request: Request, secrets: Sequence[str]) -> None:
    """Raise `InvalidSignatureError` unless the request came with one of these credentials, of the webhook's URL.

    Raises `InvalidSettingError` where everybody on the way could read them.
    """
    if (request.url or "").lower().startswith("http:"):
        raise InvalidSettingError("the webhook's credentials came over plain http", hint="give it an https URL")
    scheme, _, credentials = header(request, "Authorization").partition(" ")
    given = from_base64(credentials.strip()) if scheme.lower() == "basic" else None
    if given is None:
        raise InvalidSignatureError("the header Authorization holds no user and password")
    require_match([given], keys(secrets, basic_credentials))


def require_match(given: Iterable[bytes], expected: Iterable[bytes]) -> None:
    """Raise `InvalidSignatureError` unless one that was given is expected."""
    signatures = list(given)
    if not any(hmac.compare_digest(each, signature) for each in expected for signature in signatures):
        raise InvalidSignatureError


def require_hmac(
    given: str, secrets: Sequence[str], message: bytes, sign: Callable[[bytes, bytes], bytes] = hex_hmac
) -> None:
    """Raise `InvalidSignatureError` unless one of the secrets signs ``message`` as ``given``."""
    require_match([as_bytes(given)], [sign(key, message) for key in keys(secrets, hmac_key)])


def require_timestamped_hmac(
    request: Request, name: str, secrets: Sequence[str], now: datetime, tolerance: timedelta
) -> None:
    """Check a header of the form ``t=…,v1=…[,v1=…]``: the HMAC (hexadecimal) over the timestamp, a dot and the body.

    Raises `InvalidSignatureError` where it does not hold, or is stale.
    """
    parts = [part.strip().partition("=") for part in header(request, name).split(",")]
    timestamps = [value for key, _, value in parts if key == "t"]
    signatures = [as_bytes(value) for key, _, value in parts if key == "v1"]
    if len(timestamps) != 1 or not signatures:
        raise InvalidSignatureError(f"the header {name} is not of the form t=…,v1=…")
    message = as_bytes(timestamps[0]) + b"." + request.body
    require_match(signatures, [hex_hmac(key, message) for key in keys(secrets, hmac_key)])
    require_fresh(timestamps[0], now, tolerance)


def require_fresh(timestamp: str, now: datetime, tolerance: timedelta) -> None:
    """Raise `InvalidSignatureError` unless the signed ``timestamp`` is near ``now``: (milli)seconds since 1970."""
    if not _UNIX.fullmatch(timestamp):
        raise InvalidSignatureError("the signed timestamp is not in seconds or milliseconds")
    number = int(timestamp)
    at = datetime.fromtimestamp(number / 1000 if number >= MILLISECONDS else number, UTC)
    if abs(now - at) > tolerance:
        raise InvalidSignatureError(
            f"the signed timestamp is stale: more than {format_timedelta(tolerance)} away from now",
            hint="a replay, a late delivery, or a clock that is wrong",
        )
