"""The parts of the suite, in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.chaos.arguments import arguments
from tests.chaos.clocks import clocks
from tests.chaos.disks import disks
from tests.chaos.failover import failover
from tests.chaos.kills import kills
from tests.chaos.memory import memory
from tests.chaos.poison import poison
from tests.chaos.races import races
from tests.chaos.refusals import refusals
from tests.chaos.silence import silence
from tests.chaos.stage import Stage
from tests.chaos.stops import stops
from tests.chaos.zoo import zoo

PARTS: Mapping[str, Callable[[Stage], str]] = {
    "kills": kills,
    "stops": stops,
    "silence": silence,
    "failover": failover,
    "refusals": refusals,
    "poison": poison,
    "disks": disks,
    "clocks": clocks,
    "zoo": zoo,
    "arguments": arguments,
}

NIGHTLY: Mapping[str, Callable[[Stage], str]] = {"races": races, "memory": memory}
"""What takes an hour or more; a share of 1 is an hour's."""
