"""How the events of the inbox table meet the waits: in a batch, as many as one transaction can take on.

What it cannot take on stays in the table, and the next batch goes on with it. Conditions that take too long are asked
between two batches, with no lock held; the answers are kept until their events have been correlated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from waitctl.application.inbox import within_bytes
from waitctl.domain.events import topic_bucket
from waitctl.domain.values import dataclass
from waitctl.infrastructure.store import events as event_store
from waitctl.infrastructure.store import inbox
from waitctl.infrastructure.store.correlation import matching
from waitctl.infrastructure.store.correlation.verdicts import OverBudgetError, Verdicts

if TYPE_CHECKING:
    from waitctl.application.calendars.opening_rules import HostOpeningRules
    from waitctl.application.coming_again import ComingAgain
    from waitctl.application.inbox import Inbox
    from waitctl.infrastructure.database import Connection, Database


@dataclass(frozen=True, slots=True)
class CorrelatedBatch:
    """The events that a batch correlated and the waits that these resumed.

    ``left``: how many events it had claimed and could not take on. ``is_last``: whether there were no others.
    """

    event_ids: Collection[str] = ()
    wait_ids: Sequence[str] = ()
    left: int = 0
    is_last: bool = True
    open: OverBudgetError | None = None


class InboxEvents:
    """Correlates what other systems inserted, ``batch_size`` events at most in a transaction."""

    def __init__(
        self,
        database: Database,
        inbox: Inbox,
        opening_rules: HostOpeningRules,
        coming_again: ComingAgain,
        *,
        batch_size: int,
        actor: str,
    ) -> None:
        self._database = database
        self._inbox = inbox
        self._opening_rules = opening_rules
        self._coming_again = coming_again
        self._batch_size = self._limit = batch_size
        self._actor = actor
        self._verdicts = Verdicts()

    def begin(self) -> None:
        """Look at as many as a batch may have: an event that takes long must not hide those of others behind it."""
        self._limit = self._batch_size

    def write_batch(self, *, may_go_on: Callable[[], bool]) -> CorrelatedBatch:
        """Correlate a batch in a transaction of its own; then ask what conditions are open, while ``may_go_on``."""

        def work(connection: Connection) -> CorrelatedBatch:
            self._verdicts.begin()
            return self.correlate(connection, self._verdicts)

        batch = self._database.write(work)
        self._verdicts.forget(batch.event_ids)
        self._limit = self._batch_size
        if batch.open is not None:
            batch.open.answer(self._database, may_go_on=may_go_on)
        if batch.left:  # to claim them all again, in vain, would cost more than to match the few that fit
            self._limit = min(self._batch_size, max(1, 2 * len(batch.event_ids)))
            self._database.give_way()
        return batch

    def correlate(self, connection: Connection, verdicts: Verdicts) -> CorrelatedBatch:
        """Admit, lock their topics, match, mark."""
        inbox.forget_pruned(connection)
        found = inbox.claim_oldest(connection, self._limit)
        claimed = within_bytes(found)
        if not claimed:
            return CorrelatedBatch()
        registered = event_store.registered_types(connection)
        contacts = self._inbox.admit(connection, claimed, registered=registered, now=self._database.clock(connection))
        buckets = [topic_bucket(row.event_type, contacts[row.id]) for row in claimed if row.id in contacts]
        now = self._database.lock_topics(connection, buckets, exclusive=False)
        done = matching.correlate_what_fits(
            connection,
            list(contacts),
            self._opening_rules.for_event,
            verdicts,
            now=now,
            reason=self._database.dated("event "),
            actor=self._actor,
            largest=max(row.size for row in claimed),
        )
        wait_ids = [wait_id for _, wait_id in done.matched]
        if wait_ids:
            self._coming_again.stop_by(connection, wait_ids, now=now)
        event_store.mark_correlated(connection, done.event_ids, now=now)
        left = len(contacts) - len(done.event_ids)
        is_last = not left and len(claimed) == len(found) < self._limit
        return CorrelatedBatch(done.event_ids, wait_ids, left, is_last, done.open)
