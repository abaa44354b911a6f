"""What is written of deliveries that came back, in one transaction with what begins next; and what follows a death."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from waitctl.application import logs
from waitctl.domain.deliveries import AttemptOutput, Delivery, Lease, Settlement
from waitctl.domain.statuses import DeliveryStatus
from waitctl.infrastructure.store import deliveries as store
from waitctl.infrastructure.store import outcomes

if TYPE_CHECKING:
    from waitctl.application.deliveries.workers import HandlerWorkers
    from waitctl.infrastructure.config import Settings
    from waitctl.infrastructure.database import Connection, Database


class Starts(NamedTuple):
    """What is handed to handlers: of ``counted`` an attempt is, and of ``uncounted`` once they have begun."""

    counted: Collection[Lease]
    uncounted: Collection[Lease]


NO_STARTS = Starts((), ())


class Written(NamedTuple):
    """What was written: how many were taken, the settlements (those that ``landed``, by delivery), and what may start.

    Of the latter those that are ``ours``: still on the lease that was taken.
    """

    taken: int
    settlements: Sequence[Settlement]
    landed: set[str]
    ours: set[Lease]

    @property
    def became(self) -> list[DeliveryStatus]:
        """What those have become whose settlement landed."""
        return [each.status for each in self.settlements if each.lease.delivery_id in self.landed]


class ResultWriter:
    """Writes results, each fenced by its lease."""

    def __init__(self, database: Database, settings: Settings, actor: str) -> None:
        self._database = database
        self._settings = settings
        self._actor = actor

    def write(
        self,
        delivered: Sequence[Lease],
        decide: Callable[[datetime], Sequence[tuple[HandlerWorkers, Settlement]]],
        starts: Starts = NO_STARTS,
        said: Sequence[AttemptOutput] = (),
    ) -> Written:
        """Write what was delivered, what is decided of the others at the database's now, and what starts."""

        def work(connection: Connection) -> tuple[Written, list[store.NamedDelivery]]:
            now = self._database.clock(connection)
            settled = decide(now)
            settlements = [settlement for _, settlement in settled]
            dead = {
                settlement.lease.delivery_id: workers.config.on_dead or self._settings.on_dead
                for workers, settlement in settled
                if settlement.status is DeliveryStatus.DEAD
            }
            if dead:
                outcomes.lock_waits(connection, dead)
            ours = outcomes.begin_deliveries(connection, starts.counted) if starts.counted else set()
            taken = outcomes.deliver(connection, delivered, now=now) if delivered else 0
            landed = outcomes.settle_deliveries(connection, settlements) if settlements else set()
            if died := {delivery_id: dead[delivery_id] for delivery_id in sorted(landed.intersection(dead))}:
                record_deaths(connection, self._database, died, now=now, actor=self._actor)
            if said:
                outcomes.keep_outputs(connection, said)
            ours |= outcomes.find_on_lease(connection, starts.uncounted) if starts.uncounted else set()
            told = store.name_deliveries(connection, landed) if landed else []
            leases = {lease for lease in (*starts.counted, *starts.uncounted) if lease.delivery_id in ours}
            return Written(taken, settlements, landed, leases), told

        # Nobody waits for what was taken; what is due again may be another host's to try.
        written, told = self._database.write(work, is_news=lambda done: bool(done[0].settlements))
        for each in told:
            logs.say_settled(each)
        return written


def record_deaths(
    connection: Connection, database: Database, died: Mapping[str, str | None], *, now: datetime, actor: str
) -> None:
    """What follows a death: the waits are in error, and the ``on_dead`` handlers (by delivery) hear of it."""
    outcomes.mark_waits(connection, died, dead=True, now=now, reason=database.dated("its delivery died"), actor=actor)
    if told := {delivery_id: handler for delivery_id, handler in died.items() if handler is not None}:
        outcomes.insert_dead_letter_notices(connection, told, now=now)


def mark_exhausted(delivery: Delivery) -> Settlement:
    """A delivery whose last attempt never came back: its lease ran out."""
    return Settlement(
        lease=delivery.lease,
        status=DeliveryStatus.DEAD,
        attempt=delivery.attempt - 1,
        next_attempt_at=delivery.next_attempt_at,
        error=delivery.last_error or "the last attempt's lease ran out: its tick crashed or was killed",
    )
