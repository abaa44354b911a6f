"""Functions that a handler calls: they note what they were handed."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any

HEARD = "WAITCTL_TEST_HEARD"
"""The variable that names the file."""


@cache
def file() -> int:
    """The file, open: to note something in it is one step, which nothing comes between."""
    return os.open(os.environ[HEARD], os.O_WRONLY | os.O_APPEND)


def note(document: dict[str, Any]) -> None:
    """Note the delivery's id."""
    os.write(file(), f"{document['delivery_id']}\n".encode())


def note_late(document: dict[str, Any]) -> None:
    """Note it when the tick that handed it out may be gone."""
    time.sleep(0.1)
    note(document)


def note_or_end(document: dict[str, Any]) -> None:
    """Note it, or end the process."""
    if document["wait"]["workflow_execution_id"] == "poison":
        os._exit(3)
    note(document)
