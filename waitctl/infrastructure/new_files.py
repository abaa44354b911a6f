"""Files that are this user's alone, and appear under their name whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK})
"""What a file system says that knows no hard links."""


@contextmanager
def new_file(path: Path, *, replace: bool = False) -> Iterator[tuple[Path, int]]:
    """A file of mode 0600 to be written, as a path and a descriptor, that is called ``path`` once the context ends.

    Raises `IsADirectoryError` for a path without a name, and `FileExistsError` when something bears that name by then,
    unless it is to ``replace`` that. After any error nothing is left of it.
    """
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield fresh, descriptor
        os.fsync(descriptor)
        if replace:
            fresh.replace(path)
        else:
            _publish(fresh, path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    _sync_folder(path.parent)


def replace_text(path: Path, text: str, *, mode: int) -> None:
    """Put a text in the place of a file of this mode: whole or not at all."""
    with new_file(path, replace=True) as (_, descriptor):
        os.fchmod(descriptor, mode)
        left = memoryview(text.encode())
        while left:
            left = left[os.write(descriptor, left) :]


def _publish(fresh: Path, path: Path) -> None:
    """Rename without replacing."""
    try:
        os.link(fresh, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))  # what is replaced is our own
        fresh.replace(path)
    else:
        fresh.unlink()


def _sync_folder(folder: Path) -> None:
    """See that the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
