"""Claim → hand out → settle. Only a delivery is leased, because only here is I/O that can hang."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import TracebackType

from waitctl.application.documents import parcel_document
from waitctl.application.ids import CANDIDATES, id_fragment, only_candidate
from waitctl.application.outlets import make_handler
from waitctl.domain.deliveries import (
    Backlog,
    Delivery,
    DeliveryStatus,
    HandlerResult,
    Settlement,
    is_exhausted,
    settle,
)
from waitctl.domain.errors import DeliveryNotFoundError, IllegalTransitionError
from waitctl.domain.handlers import HandlerConfig
from waitctl.domain.text import to_json
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.handlers import Handler, HandlerNotReadyError, Parcel
from waitctl.infrastructure.handlers.exec import KILL_AFTER
from waitctl.infrastructure.store import deliveries as store
from waitctl.infrastructure.store import events as event_store
from waitctl.infrastructure.store import waits as wait_store

_PREFETCH = 4
"""Deliveries claimed per running command: fewer transactions, while a claim stays short enough to give back."""

_BATCH = 1000
"""Deliveries that a batch handler's process gets at most."""

_Addressed = tuple[Delivery, Parcel | None]
"""A claimed delivery and what it hands over; nothing when it is past its last attempt."""

_LEASE_MARGIN = timedelta(seconds=30)
"""What a lease lasts longer than everything that may happen under it."""


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What became of the deliveries that a tick handed out. ``stale``: settled by somebody else meanwhile."""

    delivered: int = 0
    retried: int = 0
    dead: int = 0
    stale: int = 0


class _Lane:
    """One handler's share of a dispatcher: its threads, and what is in their hands.

    The handler is made when there is something for it: what it needs (a library, a secret) is not asked for in vain.
    """

    def __init__(self, config: HandlerConfig) -> None:
        self.config = config
        self.handler: Handler | None = None
        self.pool = ThreadPoolExecutor(config.concurrency, thread_name_prefix=f"handler-{config.name}")
        self.in_flight: dict[Future[Sequence[HandlerResult] | None], list[Delivery]] = {}
        self.renew_at = 0.0
        """When the leases of what is in flight are half over, by the monotonic clock."""

    @property
    def size(self) -> int:
        """How many deliveries go out together."""
        return _BATCH if self.config.batch else 1

    @property
    def room(self) -> int:
        """How many deliveries to claim now: none while more than half of the last claim is still ahead."""
        if self.config.batch:  # the next one is claimed when it can be full
            return 0 if self.in_flight else _BATCH
        most = self.config.concurrency * _PREFETCH
        return most - len(self.in_flight) if len(self.in_flight) <= most // 2 else 0

    @property
    def in_hand(self) -> list[Delivery]:
        """What is in flight."""
        return [delivery for deliveries in self.in_flight.values() for delivery in deliveries]

    @property
    def lease(self) -> timedelta:
        """How long a claim must last, for its last delivery to get its turn and run its time out."""
        return (self.config.timeout + KILL_AFTER) * (_PREFETCH + 1) + _LEASE_MARGIN


class Dispatcher:
    """Hands due deliveries to the handlers of this host's config; others are held for a host that knows them."""

    def __init__(self, database: Database, settings: Settings, *, actor: str) -> None:
        self._database = database
        self._actor = actor
        self._settings = settings
        self._lanes = [_Lane(config) for config in settings.handlers.values()]
        self.counts = DeliveryCounts()
        self.unready: dict[str, str] = {}
        """Handlers that had something to do and that this host cannot use, and why. Their deliveries are held."""

    def __enter__(self) -> Dispatcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lane in self._lanes:
            lane.pool.shutdown(cancel_futures=True)
            if lane.handler is not None:
                lane.handler.close()

    def run(self, *, may_claim: Callable[[], bool], limit: int) -> None:
        """Claim, hand out and settle until nothing is due.

        When ``may_claim`` says no (out of budget, interrupted), what has not started is given back, and what runs is
        waited for. ``limit`` is the most deliveries to claim at once.
        """
        while True:
            if may_claim():
                opened = self._claim(limit, may_claim)
                if opened:
                    continue  # and claim for them too, before anything is waited for
            else:
                self._give_back()
            running = [future for lane in self._lanes for future in lane.in_flight]
            if not running:
                return
            wait(running, self._until_renewal(), return_when=FIRST_COMPLETED)
            self._renew_leases()
            self._settle_done()

    def _claim(self, limit: int, may_start: Callable[[], bool]) -> bool:
        """Claim for every lane with room, and hand out. Returns whether lanes were opened that had been shut."""
        lanes = [(lane, min(lane.room, limit)) for lane in self._lanes if lane.room]
        if not lanes:
            return False

        def work(connection: Connection) -> tuple[list[tuple[_Lane, list[_Addressed]]], list[_Lane]]:
            now = self._database.clock(connection)
            shut = [lane for lane, _ in lanes if lane.handler is None]
            wanted = [lane for lane in shut if store.has_claimable(connection, lane.config.name, now=now)]
            claimed = []
            for lane, room in lanes:
                if lane.handler is None:
                    continue
                found = store.claim_deliveries(
                    connection,
                    lane.config.name,
                    now=now,
                    lease_until=now + lane.lease,
                    max_attempts=lane.config.retry.max_attempts,
                    limit=room,
                )
                claimed.append((lane, _parcels(connection, found)))
            return claimed, wanted

        claimed, wanted = self._database.write(work)
        exhausted: list[Settlement] = []
        for lane, parcels in claimed:
            exhausted += self._hand_out(lane, parcels, may_start)
        if exhausted:
            self._write(exhausted)
        for lane in wanted:
            self._open(lane)
        return bool(wanted)

    def _hand_out(self, lane: _Lane, parcels: Sequence[_Addressed], may_start: Callable[[], bool]) -> list[Settlement]:
        """Give the parcels to the lane's threads. Returns what becomes of deliveries past their last attempt."""
        assert lane.handler is not None
        if not lane.in_flight:
            lane.renew_at = time.monotonic() + lane.lease.total_seconds() / 2
        live = [(delivery, parcel) for delivery, parcel in parcels if parcel is not None]
        for start in range(0, len(live), lane.size):
            deliveries, out = zip(*live[start : start + lane.size], strict=True)
            lane.in_flight[lane.pool.submit(_deliver_if, may_start, lane.handler, out)] = list(deliveries)
        return [_bury(delivery) for delivery, parcel in parcels if parcel is None]

    def _open(self, lane: _Lane) -> None:
        """Make a lane's handler, or shut the lane for good when this host cannot."""
        try:
            lane.handler = make_handler(lane.config, self._settings, self._database)
        except HandlerNotReadyError as error:
            self.unready[lane.config.name] = str(error)
            self._lanes.remove(lane)

    def _until_renewal(self) -> float:
        return max(0.0, min(lane.renew_at for lane in self._lanes if lane.in_flight) - time.monotonic())

    def _renew_leases(self) -> None:
        """Keep what runs for longer than anybody foresaw: a Python function, or a host that was asleep."""
        for lane in self._lanes:
            if lane.in_flight and lane.renew_at <= time.monotonic():
                lane.renew_at = time.monotonic() + lane.lease.total_seconds() / 2
                self._database.write(partial(self._renew, lane))

    def _renew(self, lane: _Lane, connection: Connection) -> None:
        until = self._database.clock(connection) + lane.lease
        store.renew_leases(connection, lane.in_hand, lease_until=until)

    def _give_back(self) -> None:
        for lane in self._lanes:
            unstarted = [future for future in lane.in_flight if future.cancel()]
            self._release([delivery for future in unstarted for delivery in lane.in_flight.pop(future)])

    def _release(self, claimed: Sequence[Delivery]) -> None:
        if claimed:
            self._database.write(partial(store.release_deliveries, claimed=claimed))

    def _settle_done(self) -> None:
        finished: list[tuple[_Lane, Delivery, HandlerResult]] = []
        unstarted: list[Delivery] = []
        for lane in self._lanes:
            for future in [future for future in lane.in_flight if future.done()]:
                deliveries, results = lane.in_flight.pop(future), future.result()
                if results is None:
                    unstarted += deliveries
                else:
                    pairs = zip(deliveries, results, strict=True)
                    finished += [(lane, delivery, result) for delivery, result in pairs]
        self._release(unstarted)
        if not finished:
            return
        with self._database.read() as connection:
            now = self._database.clock(connection)
        self._write(
            [
                settle(delivery, result, lane.config.retry, now=now, jitter=random.random())
                for lane, delivery, result in finished
            ]
        )

    def _write(self, settlements: Sequence[Settlement]) -> None:
        dead = [each.delivery_id for each in settlements if each.status is DeliveryStatus.DEAD]

        def work(connection: Connection) -> set[str]:
            now = self._database.clock(connection)
            if dead:
                store.lock_waits(connection, dead)
            landed = store.settle_deliveries(connection, self._database, settlements, now=now)
            died = sorted(landed.intersection(dead))
            if died:
                store.mark_waits(
                    connection,
                    self._database,
                    died,
                    dead=True,
                    now=now,
                    reason="its delivery died",
                    actor=self._actor,
                )
            return landed

        landed = self._database.write(work)
        became = [each.status for each in settlements if each.delivery_id in landed]
        self.counts = DeliveryCounts(
            delivered=self.counts.delivered + became.count(DeliveryStatus.DELIVERED),
            retried=self.counts.retried + became.count(DeliveryStatus.PENDING),
            dead=self.counts.dead + became.count(DeliveryStatus.DEAD),
            stale=self.counts.stale + len(settlements) - len(landed),
        )


def _deliver_if(
    may_start: Callable[[], bool], handler: Handler, parcels: Sequence[Parcel]
) -> Sequence[HandlerResult] | None:
    """Hand parcels over, unless the run is out of time or interrupted by the time their turn comes."""
    return handler.deliver(parcels) if may_start() else None


def _bury(delivery: Delivery) -> Settlement:
    """A delivery whose last attempt never came back: its lease ran out."""
    return Settlement(
        delivery_id=delivery.id,
        expected_attempt=delivery.attempt,
        status=DeliveryStatus.DEAD,
        attempt=delivery.attempt - 1,
        next_attempt_at=delivery.next_attempt_at,
        error=delivery.last_error or "the last attempt's lease ran out: its tick crashed or was killed",
    )


def _parcels(connection: Connection, claimed: Sequence[Delivery]) -> list[_Addressed]:
    """What each claimed delivery hands over; nothing for one that is past its last attempt."""
    live = [delivery for delivery in claimed if not is_exhausted(delivery)]
    waits = {found.id: found for found in wait_store.get_waits(connection, [each.wait_id for each in live])}
    event_ids = [found.resolution_event_id for found in waits.values() if found.resolution_event_id]
    events = {event.id: event for event in event_store.get_events(connection, event_ids)}
    data = store.manual_data(connection, list(waits)) if waits else {}
    parcels: list[_Addressed] = []
    for delivery in claimed:
        found = waits.get(delivery.wait_id)
        if found is None:  # past its last attempt
            parcels.append((delivery, None))
            continue
        event = events.get(found.resolution_event_id or "")
        document = parcel_document(delivery, found, event, data.get(found.id))
        environment = {
            "WAITCTL_DELIVERY_ID": delivery.id,
            "WAITCTL_ATTEMPT": str(delivery.attempt),
            "WAITCTL_OUTCOME": delivery.outcome,
            "WAITCTL_WAIT_ID": found.id,
            "WAITCTL_EXECUTION_ID": found.workflow_execution_id,
            "WAITCTL_STEP_ID": found.step_id,
            "WAITCTL_CONTACT_ID": found.contact_id or "",
            "WAITCTL_EVENT_TYPE": event.event_type if event else "",
        }
        parcels.append((delivery, Parcel(delivery.id, to_json(document).encode() + b"\n", environment)))
    return parcels


class DeliveryService:
    """Look at the outbox, and put dead letters right."""

    def __init__(self, database: Database | str, *, actor: str = "api") -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._actor = actor

    def list_deliveries(self, statuses: Sequence[DeliveryStatus] = (), *, limit: int = 50) -> list[Delivery]:
        """Deliveries, newest first."""
        with self._database.read() as connection:
            return store.list_deliveries(connection, statuses=statuses, limit=limit)

    def list_backlogs(self, known: Collection[str] = ()) -> list[Backlog]:
        """What each handler has before it, by name: those in the outbox, and the others in ``known``."""
        with self._database.read() as connection:
            found = store.backlogs(connection, now=self._database.clock(connection))
        idle = set(known).difference(each.handler for each in found)
        return sorted([*found, *map(Backlog, idle)], key=lambda each: each.handler)

    def get_delivery(self, delivery_id: str) -> Delivery:
        """A delivery by its id, or by a head or tail of it of at least 8 digits.

        Raises `DeliveryNotFoundError` or `AmbiguousIdError`.
        """
        fragment = id_fragment(delivery_id, "delivery")
        with self._database.read() as connection:
            found = store.find_delivery_ids(connection, fragment.replace("-", ""), CANDIDATES + 1)
            delivery = (
                store.get_delivery(connection, only_candidate(delivery_id, found, "deliveries")) if found else None
            )
        if delivery is None:
            raise DeliveryNotFoundError(f"no delivery {delivery_id}")
        return delivery

    def retry(self, delivery_id: str) -> Delivery:
        """Make a delivery due now, its attempts so far forgiven, and its wait what it was before it died.

        Raises `IllegalTransitionError` for one that is delivered or running.
        """
        delivery = self.get_delivery(delivery_id)
        if not self._retry([delivery.id]):
            raise IllegalTransitionError(f"the delivery cannot be retried: it is {delivery.status}")
        return self.get_delivery(delivery.id)

    def retry_dead(self) -> list[Delivery]:
        """Retry every dead delivery. Returns them."""
        with self._database.read() as connection:
            dead = store.dead_ids(connection)
        revived = sorted(self._retry(dead)) if dead else []
        return [self.get_delivery(delivery_id) for delivery_id in revived]

    def _retry(self, delivery_ids: Sequence[str]) -> set[str]:
        def work(connection: Connection) -> set[str]:
            now = self._database.clock(connection)
            store.lock_waits(connection, delivery_ids)
            landed = store.retry_deliveries(connection, delivery_ids, now=now)
            if landed:
                store.mark_waits(
                    connection,
                    self._database,
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
