"""How much correlating events costs, and which of them one transaction takes on.

What costs is each pair of an event and a listener of its topic: it is fetched, judged and perhaps counted while others
wait for the locks. So a transaction takes on as many events as a budget of pairs holds. The rest waits for the next.
Of a contact nothing is taken out of turn: once an event is left, the later ones of its contact are, too. Other
contacts' events go on beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.sql_values import json_ids

if TYPE_CHECKING:
    from waitctl.infrastructure.database import Database

Given = TypeVar("Given")
Result = TypeVar("Result")

PAIRS = 4_000
"""Pairs of an event and a listener that is grouped or judged, in one transaction: about a tenth of a second."""

_PLAIN = 10
"""Listeners of the other kind that cost what one of those does: no row of them is fetched."""

_BULKY = 32 * 1024
"""Bytes of an event that make a pair cost once more: SQLite reads a row of many pages anew for each listener."""


class Load(NamedTuple):
    """What an event meets: the listeners that are grouped or judged, and all of its topic."""

    event_id: str
    contact_id: str
    size: int
    costly: int
    listeners: int

    @property
    def cost(self) -> int:
        """In pairs."""
        return cost_in_pairs(self.costly, self.listeners, self.size)


def cost_in_pairs(costly: int, listeners: int, size: int) -> int:
    """What so many listeners cost with events of this size."""
    return (costly + (listeners - costly) // _PLAIN) * (1 + size // _BULKY)


class TooManyPairsError(Exception):
    """These events are too many for one transaction. Nothing has been matched."""

    def __init__(self, loads: Sequence[Load]) -> None:
        super().__init__("the events meet too many listeners for one transaction")
        self._loads = loads

    def first(self) -> list[str]:
        """The events that a transaction takes on, the oldest first."""
        return [load.event_id for load in _within_budget(self._loads)[0]]

    def parts(self) -> list[list[str]]:
        """All of them, a transaction each."""
        left, parts = self._loads, list[list[str]]()
        while left:
            taken, left = _within_budget(left)
            parts.append([load.event_id for load in taken])
        return parts


def _within_budget(loads: Sequence[Load]) -> tuple[list[Load], list[Load]]:
    """What one transaction takes on, and the rest. One event at least: it is not divided."""
    budget, taken, left, held = PAIRS, list[Load](), list[Load](), set[str]()
    for load in loads:
        if load.contact_id not in held and (load.cost <= budget or not taken):
            taken.append(load)
            budget = max(0, budget - load.cost)
        else:
            left.append(load)
            held.add(load.contact_id)
    return taken, left


class Kinds(NamedTuple):
    """Whether any listener is grouped, any is judged, any is neither; how many pairs are either, and all."""

    grouped: bool
    judged: bool
    plain: bool
    costly: int
    pairs: int


def look_at_kinds(connection: Connection, scope: str, wanted: str) -> Kinds:
    """What kinds of listeners these topics have. With too many to be counted there may be any."""
    most = _PLAIN * (PAIRS + 1)  # too many of whatever kind
    row = connection.execute(kept("kinds_of_listeners", scope), {"wanted": wanted, "most": most}).one()
    grouped, judged, costly, pairs = row
    too_many = pairs == most
    costly = costly or 0
    return Kinds(bool(grouped) or too_many, bool(judged) or too_many, pairs > costly or too_many, costly, pairs)


def require_few_pairs(connection: Connection, event_ids: Collection[str], kinds: Kinds, largest: int) -> None:
    """Raise `TooManyPairsError` when one transaction cannot take on these events, the ``largest`` of so many bytes."""
    if len(event_ids) == 1 or cost_in_pairs(kinds.costly, kinds.pairs, largest) <= PAIRS:
        return
    loads = _measure(connection, event_ids)
    if _within_budget(loads)[1]:
        raise TooManyPairsError(loads)


def before_open(connection: Connection, event_ids: Collection[str], open_: Collection[str]) -> list[str]:
    """Those of these events that are not ``open_``, and that come before any such of their contact."""
    done, held = list[str](), set[str]()
    for load in _measure(connection, event_ids):
        if load.event_id in open_:
            held.add(load.contact_id)
        if load.contact_id not in held:
            done.append(load.event_id)
    return done


def _measure(connection: Connection, event_ids: Collection[str]) -> list[Load]:
    return [Load(*row) for row in connection.execute(kept("measure_loads"), {"wanted": json_ids(event_ids)})]


def write_in_halves(
    database: Database,
    work: Callable[[Connection, Sequence[Given]], list[Result]],
    given: Sequence[Given],
    is_news: Callable[[list[Result]], bool],
) -> list[Result]:
    """`Database.write` for work on several things, half of them at a time as long as they meet too many listeners."""
    try:
        return database.write(lambda connection: work(connection, given), is_news=is_news)
    except TooManyPairsError:
        database.give_way()
        half = len(given) // 2
        return [
            result for part in (given[:half], given[half:]) for result in write_in_halves(database, work, part, is_news)
        ]
