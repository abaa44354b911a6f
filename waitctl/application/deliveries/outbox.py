"""Look at deliveries, and put dead ones right."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from waitctl.application.id_lookup import DELIVERY, find_cursor, get_by_id
from waitctl.domain.counts import number_of
from waitctl.domain.deliveries import Backlog, Delivery
from waitctl.domain.errors import IllegalTransitionError, TooManyDeliveriesError
from waitctl.domain.statuses import DeliveryStatus
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.store import deliveries as store
from waitctl.infrastructure.store import outcomes, overview

_BATCH = 2_000
"""Deliveries that a transaction retries."""


class DeliveryService:
    """Look at the outbox, and put dead letters right."""

    def __init__(self, database: Database | str, *, actor: str = "api") -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._actor = actor

    def list_deliveries(
        self,
        statuses: Sequence[DeliveryStatus] = (),
        *,
        handler: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> list[Delivery]:
        """Deliveries, newest first, older than the delivery ``after`` (its id, or a head or tail of it)."""
        with self._database.read() as connection:
            last = find_cursor(connection, DELIVERY, after) if after else None
            return store.list_deliveries(connection, statuses=statuses, handler=handler, limit=limit, after=last)

    def list_backlogs(self, known: Collection[str] = (), *, failing: bool = True) -> list[Backlog]:
        """What each handler has before it, by name: those in the outbox, and the others in ``known``."""
        with self._database.read() as connection:
            found = overview.backlogs(connection, now=self._database.clock(connection), failing=failing)
        idle = set(known).difference(each.handler for each in found)
        return sorted([*found, *map(Backlog, idle)], key=lambda each: each.handler)

    def get_delivery(self, delivery_id: str) -> Delivery:
        """A delivery by its id, or by a head or tail of it of at least 8 digits.

        Raises `DeliveryNotFoundError` or `AmbiguousIdError`.
        """
        with self._database.read() as connection:
            return get_by_id(connection, DELIVERY, delivery_id, store.get_delivery)

    def get_output(self, delivery: Delivery) -> tuple[str, int] | None:
        """The last 4 KiB of what its handler said, and in which attempt; ``None`` when it said nothing."""
        with self._database.read() as connection:
            return outcomes.get_output(connection, delivery.id)

    def retry(self, delivery_id: str) -> Delivery:
        """Make a delivery due now, its attempts so far forgiven, and its wait what it was before it died.

        Raises `IllegalTransitionError` for one that is delivered or running.
        """
        delivery = self.get_delivery(delivery_id)
        if not self._retry([delivery.id]):
            raise IllegalTransitionError(f"the delivery cannot be retried: it is {delivery.status}")
        return self.get_delivery(delivery.id)

    def retry_dead(
        self, *, handler: str | None = None, workflow_id: str | None = None, cap: int | None = None
    ) -> list[Delivery]:
        """Retry every dead delivery, of this handler and workflow if they are named. Returns them.

        A batch is a transaction: ticks go on beside it, and what an interrupted run has left the next one retries.
        Raises `TooManyDeliveriesError`, before anything has changed, when there are more than ``cap``.
        """
        with self._database.read() as connection:
            dead = store.dead_ids(connection, handler=handler, workflow_id=workflow_id)
        if cap is not None and len(dead) > cap:
            many = number_of(len(dead), "delivery is", "deliveries are")
            raise TooManyDeliveriesError(f"{many} dead, and no more than {cap:,} are retried here")
        revived = sorted(each for batch in _batches(dead) for each in self._retry(batch))
        with self._database.read() as connection:
            found = [store.get_deliveries(connection, batch) for batch in _batches(revived)]
        return [delivery for deliveries in found for delivery in deliveries]

    def _retry(self, delivery_ids: Sequence[str]) -> set[str]:
        def work(connection: Connection) -> set[str]:
            now = self._database.clock(connection)
            outcomes.lock_waits(connection, delivery_ids)
            landed = store.retry_deliveries(connection, delivery_ids, now=now)
            if landed:
                outcomes.mark_waits(
                    connection,
                    sorted(landed),
                    dead=False,
                    now=now,
                    reason="its delivery is retried",
                    actor=self._actor,
                )
            return landed

        return self._database.write(work)

    def drop(self, delivery_id: str) -> Delivery:
        """Give a delivery up; it is kept as dropped. Raises `IllegalTransitionError` when it is through or running."""
        delivery = self.get_delivery(delivery_id)
        if delivery.status is DeliveryStatus.DROPPED:
            return delivery
        landed = self._database.write(lambda connection: store.drop_deliveries(connection, [delivery.id]))
        if not landed:
            raise IllegalTransitionError(f"the delivery cannot be dropped: it is {delivery.status}")
        return self.get_delivery(delivery.id)


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))
