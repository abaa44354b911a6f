"""How many random cases a differential test tries: a share that the suite can afford, or all of them.

``WAITCTL_TEST_CASES=20`` tries twenty times as many, from another seed each run.
"""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta

TIMES = int(os.environ.get("WAITCTL_TEST_CASES", "1"))

FIRST, LAST = datetime(1970, 1, 2), datetime(2100, 12, 30)


def chance_of(seed: int) -> random.Random:
    """What makes the cases."""
    return random.Random(seed if TIMES == 1 else None)


def number(count: int) -> int:
    return count * TIMES


def local_time(chance: random.Random) -> datetime:
    """A local time of these years, to the second."""
    span = LAST - FIRST
    return FIRST + timedelta(days=chance.randrange(span.days), seconds=chance.randrange(86400))
