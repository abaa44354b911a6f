"""Signatures: what every verification shares. No message here holds a secret, or a signature that would pass."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from waitctl.domain.errors import InvalidSignatureError, MissingCredentialError
from waitctl.infrastructure.providers import Request

REPLAY_WINDOW = timedelta(minutes=5)
"""How far a signed timestamp may lie from now, before or after it."""

_SECONDS = re.compile(r"[0-9]{1,11}")  # no further than the year 5138


def header(request: Request, name: str) -> str:
    """The value of a header that has to be there. Raises `MissingCredentialError`."""
    value = request.headers.get(name.lower())
    if not value:
        raise MissingCredentialError(f"the request has no header {name}", hint="give its headers by --headers-file")
    return value


def keys(secrets: Sequence[str]) -> list[bytes]:
    """The secrets as bytes. Raises `MissingCredentialError` when there is none: an empty key signs for anybody."""
    if not secrets or not all(secrets):
        raise MissingCredentialError("no secret is configured to verify the webhook with")
    return [as_bytes(secret) for secret in secrets]


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


def require_match(given: Iterable[bytes], expected: Iterable[bytes]) -> None:
    """Raise `InvalidSignatureError` unless one that was given is expected."""
    signatures = list(given)
    if not any(hmac.compare_digest(each, signature) for each in expected for signature in signatures):
        raise InvalidSignatureError


def require_hmac(
    given: str, secrets: Sequence[str], message: bytes, sign: Callable[[bytes, bytes], bytes] = hex_hmac
) -> None:
    """Raise `InvalidSignatureError` unless one of the secrets signs ``message`` as ``given``."""
    require_match([as_bytes(given)], [sign(key, message) for key in keys(secrets)])


def require_fresh(timestamp: str, now: datetime, window: timedelta = REPLAY_WINDOW) -> None:
    """Raise `InvalidSignatureError` unless the signed ``timestamp`` (seconds since 1970) is near ``now``."""
    if not _SECONDS.fullmatch(timestamp):
        raise InvalidSignatureError("the signed timestamp is not in seconds")
    if abs(now - datetime.fromtimestamp(int(timestamp), UTC)) > window:
        raise InvalidSignatureError(
            f"the signed timestamp is stale: more than {window // timedelta(minutes=1)} minutes away from now",
            hint="a replay, a late delivery, or a clock that is wrong",
        )
