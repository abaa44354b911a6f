"""Another local user: what he or she does, done for real where root runs the tests."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

IS_ROOT = os.geteuid() == 0

SOMEBODY = 65534
"""The user that every system has and that owns nothing."""


def as_somebody(work: Callable[[], object]) -> None:
    """Do something in a process of the other user, and fail if that fails. Only root can."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(SOMEBODY)
            os.setuid(SOMEBODY)
            work()
            status = 0
        finally:
            if status:
                traceback.print_exc()
            os._exit(status)
    _, ended = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(ended) == 0


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that everybody can enter, which those of the tests are not."""
    folder = Path(tempfile.mkdtemp(prefix="waitctl-public-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
