"""The key by which a user knows the inline commands that he or she has made.

Who can write to a database can write a command into it, but cannot say in this user's name that it is to run: for that
it takes the key, which stands in a file of the user's alone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from waitctl.domain.errors import MissingCredentialError
from waitctl.domain.handlers import InlineCommand
from waitctl.domain.text import to_json
from waitctl.infrastructure.file_trust import read_trusted
from waitctl.infrastructure.user_folders import config_folder, make_folder

WHAT = "the key of inline commands"

_BYTES = 32
_MOST = 64 * 1024

_PURPOSE = "waitctl inline command, 1"
"""What is signed says what it is, so that the same key may never vouch for anything else."""


class InlineKey:
    """Signs commands by HMAC-SHA-256 over the wait's id, the arguments and the folder."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, wait_id: str, command: InlineCommand) -> str:
        """The signature of a command, in hexadecimal digits."""
        signed = to_json([_PURPOSE, wait_id, command.argv, command.folder])
        import hmac
        from hashlib import sha256

        return hmac.new(self._key, signed.encode(), sha256).hexdigest()

    def verifies(self, wait_id: str, command: InlineCommand, signature: str) -> bool:
        """Whether this key has signed that command for that wait."""
        import hmac

        return hmac.compare_digest(self.sign(wait_id, command).encode(), signature.encode(errors="replace"))


def default_path() -> Path:
    """Where a user's own key stands: in the folder of the config, whichever config file is in use."""
    return config_folder() / "inline.key"


def read_key(path: Path) -> InlineKey | None:
    """The key in a file; ``None`` when there is no such file.

    Raises `UnsafeFileError`, and `MissingCredentialError` for one that cannot be read or is too short.
    """
    try:
        key = read_trusted(path, WHAT, most=_MOST, secret=True).strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MissingCredentialError(f"cannot read {WHAT} in {path}: {error.strerror}") from error
    if len(key) < _BYTES:
        raise MissingCredentialError(f"{path} is too short: {WHAT} has at least {_BYTES} characters")
    return InlineKey(key)


def make_key(path: Path) -> None:
    """Make the file of a key where there is none. Of several at once one does. Raises `MissingCredentialError`."""
    import secrets

    from waitctl.infrastructure.new_files import new_file

    try:
        make_folder(path.parent)
        with suppress(FileExistsError), new_file(path) as (_, descriptor):
            os.write(descriptor, secrets.token_hex(_BYTES).encode() + b"\n")
    except OSError as error:
        raise MissingCredentialError(f"cannot make {WHAT} in {path}: {error.strerror}") from error
