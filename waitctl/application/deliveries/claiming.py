"""What is claimed for the handlers that have room: a transaction of its own, and its place in the queue of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from waitctl.application.deliveries.payloads import make_payloads
from waitctl.application.deliveries.workers import Care, HandlerWorkers, Leased
from waitctl.application.inline_commands import InlineCommands
from waitctl.application.looks import WholeLooks
from waitctl.domain.deliveries import Delivery, RetryPolicy, is_exhausted
from waitctl.domain.handlers import INLINE
from waitctl.domain.pauses import Paused
from waitctl.domain.values import dataclass
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.handlers import Payload
from waitctl.infrastructure.store import deliveries as store
from waitctl.infrastructure.store import pauses
from waitctl.infrastructure.store.deliveries import Turns

_COMMITTED_WITHIN = timedelta(seconds=5)
"""How long ago deliveries may have come into being that are not to be seen yet: their transaction goes on."""

MOST_LAPSES = RetryPolicy().max_attempts
"""Leases after which one that runs out makes a delivery suspect, though no attempt is counted.

It may end its tick before that can be: so it costs as many ticks as one that is counted before.
"""

_UNKNOWN = Turns(None, None)


@dataclass(frozen=True, slots=True)
class Claim:
    """What was claimed for one handler where it had so much room. ``lapsed``: the lease of these ran out."""

    workers: HandlerWorkers
    room: int
    addressed: Sequence[tuple[Delivery, Payload]]
    lapsed: frozenset[str]

    @property
    def leased(self) -> list[Leased]:
        """Those that may be handed out, by the care that they need."""
        of: dict[Care, list[tuple[Delivery, Payload]]] = {care: [] for care in Care}
        for delivery, payload in self.addressed:
            if not is_exhausted(delivery):
                of[self._care(delivery)].append((delivery, payload))
        return [Leased([delivery.lease for delivery, _ in some], some.__getitem__, care) for care, some in of.items()]

    def _care(self, delivery: Delivery) -> Care:
        if delivery.id in self.lapsed and (delivery.attempt > 1 or delivery.claims >= MOST_LAPSES):
            return Care.ALONE
        return Care.NONE if delivery.attempt == 1 else Care.EXACT


class Claims:
    """Claims for handlers, each from its low-water mark on."""

    def __init__(self, database: Database, inline: InlineCommands) -> None:
        self._database = database
        self._inline = inline
        self._whole_looks = WholeLooks()
        self._lows: dict[str, Turns] = {}

    def claim(self, free: Mapping[str, HandlerWorkers]) -> tuple[Collection[str], list[Claim]]:
        """Claim for those with room and a handler. Returns who has something to do, and what was claimed."""

        def work(connection: Connection) -> tuple[dict[str, Turns], dict[str, Turns], list[Claim]]:
            now, paused = self._database.clock(connection), pauses.paused(connection)
            names = [] if paused.everything else [name for name in free if name not in paused.handlers]
            wanted = self._first_turns(connection, names, now)
            claims = [
                self._claim_for(connection, workers, room, paused, now, wanted[name])
                for name, workers in ((name, free[name]) for name in wanted)
                if workers.handler is not None and (room := workers.room()) > 0
            ]
            settled = now - _COMMITTED_WITHIN
            lows = {name: Turns(*(min(at or settled, settled) for at in wanted.get(name, _UNKNOWN))) for name in names}
            return wanted, lows, claims

        wanted, lows, claims = self._database.write(work, is_news=lambda _: False)  # a lease is nobody else's business
        self._lows |= lows
        return wanted, claims

    def _first_turns(self, connection: Connection, names: Collection[str], now: datetime) -> dict[str, Turns]:
        """Which of these handlers may be handed something, and from which instants on: what is before is gone."""
        if self._whole_looks.seconds_left:
            return store.first_turns(connection, {name: self._lows.get(name, _UNKNOWN) for name in names}, now=now)
        with self._whole_looks.timed():
            return store.first_turns(connection, dict.fromkeys(names, _UNKNOWN), now=now)

    def _claim_for(
        self,
        connection: Connection,
        workers: HandlerWorkers,
        room: int,
        paused: Paused,
        now: datetime,
        turns: Turns,
    ) -> Claim:
        """Claim those whose lease ran out, and then those that wait."""
        claim = partial(
            store.claim_deliveries,
            connection,
            workers.config.name,
            now=now,
            lease_until=now + workers.lease,
            max_attempts=workers.config.retry.max_attempts,
            paused_workflows=paused.workflows,
            but=self._inline.not_ours(connection, room) if workers.config.name == INLINE else (),
        )
        nothing: tuple[list[Delivery], set[str]] = [], set()
        lapsed, shared = claim(limit=room, lapsed=True, low=turns.lapsed) if turns.lapsed else nothing
        left = room - len(lapsed)
        waiting, others = claim(limit=left, low=turns.waiting) if turns.waiting and left else nothing
        addressed = make_payloads(connection, [*lapsed, *waiting], shared | others)
        return Claim(workers, room, addressed, frozenset(delivery.id for delivery in lapsed))
