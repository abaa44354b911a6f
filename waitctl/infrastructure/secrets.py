"""Secrets, kept in variables and files that the config names. Nothing else reads them, and no message repeats one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from waitctl.domain.errors import MissingCredentialError
from waitctl.infrastructure.file_trust import read_trusted

_MOST = 64 * 1024
"""Bytes of a file that are read as a secret."""


def read_secrets(
    variables: Iterable[str], files: Iterable[Path], whose: str, environ: Mapping[str, str] | None = None
) -> list[str]:
    """The secrets in these variables, then those in these files, without blanks around them.

    ``whose`` is for messages, as in "its". Bytes that are no UTF-8 become lone surrogates. Raises
    `MissingCredentialError`, which names the variable or the file that holds none, and `UnsafeFileError`.
    """
    environ = os.environ if environ is None else environ
    secrets = []
    for name in variables:
        if not (secret := environ.get(name, "").strip()):
            raise MissingCredentialError(f"{whose} secret is missing: ${name} is not set")
        secrets.append(secret)
    return secrets + [_secret_in(path, whose) for path in files]


def _secret_in(path: Path, whose: str) -> str:
    try:
        content = read_trusted(path, f"{whose} secret", most=_MOST)
        secret = content.decode(errors="surrogateescape").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise MissingCredentialError(f"{whose} secret is missing: cannot read {path}: {reason}") from error
    if not secret:
        raise MissingCredentialError(f"{whose} secret is missing: {path} is empty")
    return secret
