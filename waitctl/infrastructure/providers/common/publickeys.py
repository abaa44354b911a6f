"""Signatures by public key, with the library of an optional extra."""

from __future__ import annotations

import re
from collections.abc import Callable

from waitctl.domain.errors import InvalidSettingError, MissingLibraryError
from waitctl.infrastructure.providers.common.signatures import as_bytes, from_base64

_PEM = re.compile(r"-----(?:BEGIN|END) PUBLIC KEY-----|\\n|\s")


def ecdsa_key(secret: str) -> Callable[[bytes, bytes], bool]:
    """What says whether the holder of a key on P-256 made a signature (DER) of a message (SHA-256).

    ``secret`` is the public key: SPKI in base64, or as PEM. Raises `InvalidSettingError` when it is no such key,
    `MissingLibraryError` without the library.
    """
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_der_public_key
    except ModuleNotFoundError as cause:
        raise _missing() from cause
    try:
        key = load_der_public_key(from_base64(as_bytes(_PEM.sub("", secret))) or b"")
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise InvalidSettingError("the secret is not a public key in base64 or PEM") from cause
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidSettingError("the secret is a public key of another kind than EC on the curve P-256")

    def has_signed(signature: bytes, message: bytes) -> bool:
        try:
            key.verify(signature, message, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    return has_signed


def ed25519_signed(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of an Ed25519 key (32 bytes) signed ``message``.

    Raises `InvalidSettingError` when it is no such key, `MissingLibraryError` without the library.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ModuleNotFoundError as cause:
        raise _missing() from cause
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
    except ValueError as cause:
        raise InvalidSettingError("the secret is not a public key of 32 bytes") from cause
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _missing() -> MissingLibraryError:
    return MissingLibraryError(
        "signatures by public key need the library cryptography", hint="pip install 'waitctl[sendgrid]'"
    )
