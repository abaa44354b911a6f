"""Many waits at once: a thousand in a transaction, and of each becomes what would have become of it alone.

What nothing stands in the way of goes in together, on PostgreSQL by COPY as long as all of it is new. The others follow
one by one, in their order and in the same transaction: whose step or key is taken, who comes second in it, for whom an
event is there already, and whoever is to be told of an error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import field
from datetime import datetime
from functools import partial

from waitctl.application.contacts import in_its_zone
from waitctl.application.waits.creating import WaitCreator, check_types
from waitctl.application.waits.request_batch import Item, RequestBatch
from waitctl.application.waits.requests import Alike, WaitRequest
from waitctl.application.waits.results import CreateTotals, Rejection
from waitctl.domain.errors import DatabaseError, WaitStepError
from waitctl.domain.listeners import EventQuery
from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass, replace
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.database import Caller, Connection
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.store import creation as store
from waitctl.infrastructure.store import events as event_store
from waitctl.infrastructure.store import waits as wait_store
from waitctl.infrastructure.store.correlation.verdicts import Verdicts, write_within_budget
from waitctl.infrastructure.store.creation import ClaimedStep, NewBatch, NewListener, NewWait

BATCH = 1000
"""Waits a transaction."""

BATCH_BYTES = 8 * 1024 * 1024
"""Characters of contexts a transaction, or one wait more: a thousand of the largest would fill the memory."""

_LOOKED_AT = 10_000
"""Events that the waits of a transaction look back over, about a quarter of a second; or one wait more."""

_AHEAD = 2
"""Batches that lie ready, or are read, while the database takes one in."""


@dataclass(slots=True)
class _Stored:
    """What became of a batch."""

    created: int = 0
    existing: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    left: list[Item] = field(default_factory=list)
    """What is for the next transaction: these have looked back over enough."""
    looked_at: int = 0

    @property
    def is_new(self) -> bool:
        """Whether nothing of it was there."""
        return not self.existing


class BatchCreator:
    """Creates what is asked for by a `WaitCreator`; see `WaitSchedulingService.create_waits`."""

    def __init__(
        self,
        creator: WaitCreator,
        *,
        on_rejection: Callable[[Rejection], None],
        on_batch: Callable[[CreateTotals], object],
        dry_run: bool,
    ) -> None:
        self._creator = creator
        self._database = creator.database
        self._dialect = "sqlite" if creator.database.is_sqlite else "postgresql"
        self._on_rejection = on_rejection
        self._on_batch = on_batch
        self._dry_run = dry_run
        self._totals = CreateTotals()

    def run(self, requests: Iterable[WaitRequest | Alike | WaitStepError], connection: Caller | None) -> CreateTotals:
        """Create them all. Returns what became of them."""
        with self._database.read(connection):
            pass  # nothing to do finds out, too, whether there is a database
        if connection is not None:
            for batch in self._batches(requests):
                if batch.buckets:
                    self._database.write(self._database.require_safe, connection)
                self._add_up(batch, self._write(batch, connection))
            return self._totals
        written: deque[tuple[RequestBatch, Future[_Stored]]] = deque()
        # While the database takes one batch in, the next one is read.
        with ThreadPoolExecutor(max_workers=1) as writer:
            for batch in self._batches(requests):
                before = written[-1][1] if written else None
                written.append((batch, writer.submit(self._write_after, before, batch)))
                if len(written) > _AHEAD:
                    first, future = written.popleft()
                    self._add_up(first, future.result())
            for last, future in written:
                self._add_up(last, future.result())
        return self._totals

    def _batches(self, requests: Iterable[WaitRequest | Alike | WaitStepError]) -> Iterator[RequestBatch]:
        batch = RequestBatch()
        for place, request in enumerate(requests, 1):
            try:
                if isinstance(request, WaitStepError):
                    raise request
                batch.add(place, request, self._creator, dry_run=self._dry_run)
            except WaitStepError as error:
                batch.rejected.append(Rejection(place, error))
            if len(batch) >= BATCH or batch.size >= BATCH_BYTES:
                batch.close(self._dialect)
                yield batch
                batch = RequestBatch()
        if len(batch):
            batch.close(self._dialect)
            yield batch

    def _add_up(self, batch: RequestBatch, stored: _Stored) -> None:
        rejected = sorted([*batch.rejected, *stored.rejected], key=lambda rejection: rejection.place)
        for rejection in rejected:
            self._on_rejection(rejection)
        self._totals = CreateTotals(
            self._totals.received + len(batch),
            self._totals.created + stored.created,
            self._totals.existing + stored.existing,
            self._totals.rejected + len(rejected),
        )
        self._on_batch(self._totals)

    # -- a batch --------------------------------------------------------------------------------------------------

    def _write_after(self, before: Future[_Stored] | None, batch: RequestBatch) -> _Stored:
        """Write a batch, unless the one before it failed: there it ends."""
        # Where a file has come to what is there already, the next is likely to be so, too.
        likely_new = before is None or before.result().is_new
        return self._write(batch, None, likely_new=likely_new)

    def _write(self, batch: RequestBatch, connection: Caller | None, *, likely_new: bool = False) -> _Stored:
        whole = _Stored()
        while batch.rows:
            part = self._write_part(batch, connection, likely_new=likely_new)
            whole.created += part.created
            whole.existing += part.existing
            whole.rejected += part.rejected
            if part.left:
                self._database.give_way()
            batch, likely_new = batch.rest(part.left), False
        return whole

    def _write_part(self, batch: RequestBatch, connection: Caller | None, *, likely_new: bool) -> _Stored:
        def write(presumed_new: bool) -> _Stored:
            return write_within_budget(
                self._database,
                partial(self._store, batch, presumed_new, connection is None),
                connection,
                rollback=self._dry_run and connection is None,
            )

        if likely_new and not self._database.is_sqlite:
            with suppress(store.WaitsNotAllNewError):
                return write(presumed_new=True)
        while connection is None:
            with suppress(store.WaitsNotAllNewError):
                return write(presumed_new=False)
        return write(presumed_new=False)

    def _store(
        self, batch: RequestBatch, presumed_new: bool, is_own: bool, connection: Connection, verdicts: Verdicts
    ) -> _Stored:
        """``is_own``: the transaction is, and can be begun again."""
        now = self._database.lock_topics(connection, sorted(batch.buckets), exclusive=True)
        models = self._models(connection, batch, now)
        together = batch.rows
        if batch.apart or len(models) < len(batch.plans):
            together = [row for row in together if row.plan in models and row.id not in batch.apart]
        if in_the_way := self._in_the_way(connection, batch, together, models):
            together = [row for row in together if row.id not in in_the_way]
        landed = self._insert(connection, batch, together, models, now, presumed_new=presumed_new)
        if is_own and batch.has_keys:
            self._check_unpruned(connection, together, landed)
        stored = _Stored(created=len(together) if landed is None else len(landed))
        if landed is None and len(together) == len(batch.rows):
            return stored  # as a rule
        done, items = {row.id for row in together}, batch.items()
        if landed is not None:
            same = self._find_same(connection, [item for item in items if item.row.id in done - landed], models)
            stored.existing = len(same)
            done = landed | same
        for item in items:
            if item.row.id in done:
                continue
            if is_own and stored.looked_at >= _LOOKED_AT:
                stored.left.append(item)
            else:
                self._create_alone(connection, item, stored, verdicts, now)
        return stored

    def _check_unpruned(self, connection: Connection, rows: Sequence[NewWait], landed: Collection[str] | None) -> None:
        """Look again once they are in: what was pruned between a look and our insert is seen by a look after it."""
        keyed = _keyed([row for row in rows if landed is None or row.id in landed])
        if keyed and store.find_pruned_keys(connection, keyed):
            raise store.WaitsNotAllNewError

    def _models(self, connection: Connection, batch: RequestBatch, now: datetime) -> dict[str, WaitStepExecution]:
        """By the number of its plan a wait as all of it will be at ``now``; without those that cannot be."""
        registered = event_store.registered_types(connection) if batch.buckets else set[str]()
        models: dict[str, WaitStepExecution] = {}
        for number, request in enumerate(batch.plans):
            try:
                if isinstance(request.asked, EventQuery):
                    check_types(request.asked, registered)
                placed = request._replace(spec=in_its_zone(connection, request.spec))
                models[str(number)], _ = self._creator.draft(placed, now, batch.plan_ids[number])
            except WaitStepError:
                continue  # each of its waits will say so
        return models

    def _in_the_way(
        self,
        connection: Connection,
        batch: RequestBatch,
        rows: Sequence[NewWait],
        models: Mapping[str, WaitStepExecution],
    ) -> Collection[str]:
        """The waits that something makes a case of their own: a key that is remembered, an event that is there."""
        keyed = _keyed(rows) if batch.has_keys else []
        found = store.find_pruned_keys(connection, keyed) if keyed else set[str]()
        if not batch.buckets:
            return found
        listening = [row for row in rows if models[row.plan].listeners]
        types = {listener.event_type for row in listening for listener in models[row.plan].listeners}
        if store.types_at_inbox(connection, types):
            return found.union(row.id for row in listening)
        topics = [
            store.topic_of(row.id, listener.event_type, row.contact_id or "", listener.since_at)
            for row in listening
            for listener in models[row.plan].listeners
        ]
        return found | store.find_early(connection, topics)

    def _insert(
        self,
        connection: Connection,
        batch: RequestBatch,
        together: Sequence[NewWait],
        models: Mapping[str, WaitStepExecution],
        now: datetime,
        *,
        presumed_new: bool,
    ) -> set[str] | None:
        if not together:
            return None
        listeners = [
            NewListener(new_id(), row.id, row.plan, str(place), row.contact_id or "")
            for row in (together if batch.buckets else ())
            for place in range(len(models[row.plan].listeners))
        ]
        new = NewBatch(
            together,
            batch.encoded if len(together) == len(batch.rows) else None,
            listeners,
            [_shared(model, store.PLAN_COLUMNS) | {"plan": number} for number, model in models.items()],
            [
                _shared(listener, store.LISTENED_COLUMNS) | {"plan": number, "place": str(place)}
                for number, model in models.items()
                for place, listener in enumerate(model.listeners)
            ],
        )
        return store.insert_waits(
            connection,
            new,
            now=now,
            reason=self._database.dated("created"),
            actor=self._creator.actor,
            presumed_new=presumed_new,
        )

    def _find_same(
        self, connection: Connection, items: Sequence[Item], models: Mapping[str, WaitStepExecution]
    ) -> set[str]:
        """Those of these whose step or key is taken by the same wait as asked: what most come to in a second run."""
        taken = store.find_taken(connection, [item.row.claims for item in items])
        there = wait_store.get_waits(connection, sorted(set(taken.values())))
        same = set[str]()
        for item in items:
            existing = there.get(taken.get(item.row.id, ""))
            if existing is not None and existing.fingerprint == _belonging(models[item.row.plan], item).fingerprint:
                same.add(item.row.id)
        return same

    def _create_alone(
        self, connection: Connection, item: Item, stored: _Stored, verdicts: Verdicts, now: datetime
    ) -> None:
        try:
            # What is replaced and then not created is not to stay cancelled.
            with connection.savepoint() if item.asked.request.replace_open else nullcontext():
                request = self._creator.checked(item.asked.request, dry_run=self._dry_run)
                result = self._creator.create_at(connection, request, verdicts, now)
        except DatabaseError:
            raise
        except WaitStepError as error:
            stored.rejected.append(Rejection(item.place, error))
        else:
            stored.created += result.created
            stored.existing += not result.created
            if result.created and isinstance(request.asked, EventQuery):
                stored.looked_at += store.count_looked_at(connection, result.wait.id, _LOOKED_AT)


def _keyed(rows: Iterable[NewWait]) -> list[ClaimedStep]:
    """What those of them claim that have a key."""
    return [row.claims for row in rows if row.idempotency_key is not None]


def _shared(model: object, names: Iterable[str]) -> JsonObject:
    return {name: getattr(model, name) for name in names}


def _belonging(model: WaitStepExecution, item: Item) -> WaitStepExecution:
    """The wait that is asked for, of which ``model`` has all but where it belongs."""
    row = item.row
    return replace(model, workflow_id=row.workflow_id, contact_id=row.contact_id, context=item.asked.own.context)
