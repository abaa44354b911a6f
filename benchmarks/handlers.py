"""What the benchmarks' ``python`` handlers call."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Any


def nothing(document: dict[str, Any]) -> None:
    """Be through at once."""


def lateness(document: dict[str, Any]) -> None:
    """Note how long after its wait was due a delivery is here, in seconds, in a file that the environment names."""
    late = time.time() - datetime.fromisoformat(document["wait"]["scheduled_at"]).timestamp()  # noqa: TID251
    with open(os.environ["LATENESS"], "a", encoding="utf-8") as file:  # noqa: PTH123 (a thousand times a run)
        file.write(f"{late}\n")
