"""Signatures by public key, with the library of an optional extra."""

from __future__ import annotations

from waitctl.domain.errors import InvalidSettingError, MissingLibraryError


def ecdsa_signed(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of an EC key (DER) signed ``message`` (SHA-256).

    Raises `InvalidSettingError` when it is no such key, `MissingLibraryError` without the library.
    """
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_der_public_key
    except ModuleNotFoundError as cause:
        raise _missing() from cause
    try:
        key = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise InvalidSettingError("the secret is not a public key") from cause
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InvalidSettingError("the secret is a public key of another kind than EC")
    try:
        key.verify(signature, message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


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
