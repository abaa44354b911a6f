"""The parts of the suite, in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.chaos.arguments import arguments
from tests.chaos.kills import kills
from tests.chaos.poison import poison
from tests.chaos.stage import Stage
from tests.chaos.stops import stops
from tests.chaos.zoo import zoo

PARTS: Mapping[str, Callable[[Stage], str]] = {
    "kills": kills,
    "stops": stops,
    "poison": poison,
    "zoo": zoo,
    "arguments": arguments,
}
