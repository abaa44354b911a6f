"""How waits end that are due, and those that are late; their deliveries go right to handlers that have room.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from waitctl.domain.deliveries import Capacity, Delivery, Lease
from waitctl.domain.statuses import DeliveryStatus, Outcome
from waitctl.domain.values import dataclass
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.sql_values import json_rows
from waitctl.infrastructure.store.completion import FIRST, Mark, mark_parameters
from waitctl.infrastructure.store.waits import read_fields

if TYPE_CHECKING:
    from waitctl.domain.text import JsonObject
    from waitctl.infrastructure.executor import Connection, Row


class ResumedBatch(NamedTuple):
    """What `resolve_due` did: how many waits it resumed, up to which of them, and the deliveries that it leased.

    ``may_recur``: whether any recurrence is due, so that one of the waits may come again.
    """

    ended: int
    up_to: Mark
    leased: list[LeasedBatch]
    may_recur: bool


def resolve_due(
    connection: Connection,
    *,
    now: datetime,
    late_before: datetime,
    limit: int,
    reason: str,
    actor: str,
    low: Mark = FIRST,
    capacities: Sequence[Capacity] = (),
    fields: tuple[str, ...] = (),
) -> ResumedBatch:
    """Resume the ``limit`` waits beyond ``low`` that have been due longest, past those that another tick has in hand.

    Late ones with a policy are left to `claim_late`. Deliveries that ``capacities`` has room for are leased as they
    come into being: a delivery is written twice then instead of three times, and its wait is not read again. The leased
    deliveries come with these ``fields`` of their waits, the id among them.
    """
    parameters: dict[str, Any] = {"now": now, "late_before": late_before, "limit": limit, **mark_parameters(low)}
    parameters |= {"reason": reason, "actor": actor, "data": None}
    if not capacities:
        return _resumed(kept("resume_due").run(connection, **parameters), low, [])
    until = {each.handler: now + each.lease for each in capacities}
    room = [
        {
            "handler": each.handler,
            "room": each.room,
            "begins": each.begins,
            "lease_until": until[each.handler],
            "most_attempts": each.max_attempts,
        }
        for each in capacities
    ]
    rows = kept("resume_and_lease", fields).run(connection, **parameters, capacities=json_rows(room))
    leased: dict[str, LeasedBatch] = {}
    for row in rows if rows and rows[0].delivery_id is not None else ():
        if (of_handler := leased.get(row.of_handler)) is None:
            of_handler = leased[row.of_handler] = LeasedBatch(row.of_handler, fields, now, until[row.of_handler], [])
        of_handler.rows.append(row)
    for of_handler in leased.values():
        of_handler.rows.sort(key=_IS_BEGUN, reverse=True)
    return _resumed(rows, low, list(leased.values()))


def _resumed(rows: Sequence[Row], low: Mark, leased: list[LeasedBatch]) -> ResumedBatch:
    """Read the head of every row, which says how many there are and which is the last; no rows: none."""
    if not rows:
        return ResumedBatch(0, low, [], may_recur=False)
    return ResumedBatch(int(rows[0].ended), Mark(rows[0].up_to_at, rows[0].up_to_id), leased, bool(rows[0].may_recur))


_IS_BEGUN = attrgetter("attempt")
"""One for a delivery that begins as it comes into being, none for one that is leased alone."""


_FIRST_CLAIM = 1
"""The claim of a delivery that is leased as it comes into being."""

_BEFORE_FIELDS = 8
"""Columns of a row before the wait's: how many waits ended, which last, whether one may recur; the delivery's id,
handler and attempts."""


@dataclass(frozen=True, slots=True)
class LeasedBatch:
    """Deliveries of one handler that were leased as they came into being, by one statement; yet to be read.

    Those that are begun come first.
    """

    handler: str
    fields: tuple[str, ...]
    created_at: datetime
    lease_until: datetime
    rows: list[Row]

    @property
    def leases(self) -> list[Lease]:
        """The first of each."""
        return [Lease(row.delivery_id, _FIRST_CLAIM) for row in self.rows]

    @property
    def begun(self) -> int:
        """How many are begun."""
        return sum(map(_IS_BEGUN, self.rows))

    def read(self, which: slice) -> list[tuple[Delivery, JsonObject]]:
        """Those of them, each with the fields of its wait as documents have them."""
        read = []
        for row in self.rows[which]:
            wait = read_fields(self.fields, row[_BEFORE_FIELDS:])
            attempt = (DeliveryStatus.RUNNING, 1, row.max_attempts, self.created_at, self.lease_until)
            fields = (row.delivery_id, wait["id"], self.handler, Outcome.DUE, *attempt, None, self.created_at, None)
            delivery = Delivery(*fields, claims=_FIRST_CLAIM)
            read.append((delivery, wait))
        return read


def due_ids(connection: Connection, *, now: datetime, late_before: datetime) -> list[str]:
    """The waits that are due, longest first, without the late ones that have a policy."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import waits
    from waitctl.infrastructure.store.statements.due import _DUE

    due = sa.select(waits.c.id).where(_DUE).order_by(waits.c.scheduled_at)
    return list(connection.execute(due, {"now": now, "late_before": late_before}).scalars())


# -- late --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LateWait:
    """A wait that is late and has a policy: what the domain judges it by."""

    id: str
    scheduled_at: datetime
    timezone: str
    wait_config: JsonObject


def claim_late(connection: Connection, *, late_before: datetime, limit: int, low: Mark = FIRST) -> list[LateWait]:
    """Lock the ``limit`` waits with a policy beyond ``low`` that are late longest."""
    parameters = {"late_before": late_before, "limit": limit, **mark_parameters(low)}
    return [LateWait(*row) for row in connection.execute(kept("claim_late"), parameters)]


def resolve_late(
    connection: Connection,
    reasons: Mapping[str, str],
    *,
    deliver: bool,
    now: datetime,
    actor: str,
) -> int:
    """Resume these waits, each for its reason; without ``deliver`` no handler hears of it."""
    wanted = json_rows({"id": wait_id, "reason": reason} for wait_id, reason in reasons.items())
    audit = {"now": now, "reason": "", "actor": actor, "data": None}
    return len(kept("resume_late", deliver).run(connection, wanted=wanted, **audit))
