"""Record and ingest events, and resume what they match."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypedDict

from waitctl.application.coming_again import ComingAgain
from waitctl.application.events.ndjson import EncodedEvents, LineBatch, LineRejection, read_batches, unverified
from waitctl.application.events.results import IngestTotals, RecordResult, Stored
from waitctl.application.id_lookup import EVENT, find_cursor, get_by_id
from waitctl.domain.errors import EventTypeInUseError, InvalidEventError, InvalidEventTypeError
from waitctl.domain.events import Event, check_event_type_name, check_registered
from waitctl.domain.text import JsonObject, check_json_object, check_text, from_json, normalize_contact
from waitctl.domain.values import replace
from waitctl.infrastructure.database import Caller, Connection, Database
from waitctl.infrastructure.ids import first_id_at, new_id
from waitctl.infrastructure.store import events as store
from waitctl.infrastructure.store.correlation import matching
from waitctl.infrastructure.store.correlation.loads import TooManyPairsError
from waitctl.infrastructure.store.correlation.verdicts import OverBudgetError, Verdicts, write_within_budget

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from waitctl.application.calendars.opening_rules import HostOpeningRules
    from waitctl.infrastructure.config import Settings
    from waitctl.infrastructure.store.events import EventRow

DEFAULT_SOURCE = "cli"

_OLD = timedelta(minutes=1)
"""An id from before that may lie before the mark of the totals, which keeps behind the clock twice as far."""

_AHEAD = 1
"""Batches of a stream that lie ready."""


def make_event(
    event_type: str,
    contact: str,
    *,
    data: JsonObject | None = None,
    external_id: str | None = None,
    source: str = DEFAULT_SOURCE,
    occurred_at: datetime | None = None,
    expires_at: datetime | None = None,
) -> Event:
    """A validated and normalised event that has not been received yet.

    Raises `InvalidEventTypeError` or `InvalidEventError`.
    """
    return Event(
        id=new_id(),
        event_type=check_event_type_name(event_type),
        contact_id=normalize_contact(contact, error=InvalidEventError),
        data={} if data is None else check_json_object(data, "the data", error=InvalidEventError),
        source=check_text(source, "the source", error=InvalidEventError),
        external_id=None if external_id is None else check_text(external_id, "the id", error=InvalidEventError),
        occurred_at=occurred_at,
        expires_at=expires_at,
    )


class EventService:
    """Events: stored first, deduplicated by (source, id), correlated by (event type, contact)."""

    def __init__(self, database: Database | str, *, actor: str = "api", settings: Settings | None = None) -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._dialect = self._database.url.get_backend_name()
        self._actor = actor
        self._settings = settings
        self._verified = settings.verified_sources if settings else frozenset[str]()
        self._coming_again = ComingAgain(self._database, settings, actor=actor)
        sources = settings.sources.values() if settings else ()
        self._zone_fields = {source.name: source.timezone for source in sources if source.timezone}

    @cached_property
    def _host_rules(self) -> HostOpeningRules:
        from waitctl.application.calendars.opening_rules import HostOpeningRules  # for waits that have a window

        return HostOpeningRules(self._settings)

    def record(self, event: Event, connection: Caller | None = None) -> RecordResult:
        """Store one event and resume what it matches, in one transaction.

        Recording the same (source, id) again has no effect, nor has the same ``event``. Raises
        `InvalidEventTypeError` for a type that is not registered, `InvalidSourceError` for a source that the settings
        verify, and `UnsafeConnectionError` for a caller's transaction that could lose a wake-up. When conditions take
        too long for a caller's transaction, the next tick matches the event.
        """
        if event.source in self._verified:
            raise unverified(event.source)

        def work(connection_: Connection, verdicts: Verdicts | None) -> RecordResult:
            stored = self._store(connection_, self._encoded([event]), verdicts)
            if stored.refused:
                raise stored.refused[0][1]
            event_id: str | None = event.id
            if not stored.new and event.external_id is not None:
                event_id = store.find_event_id(connection_, event.source, event.external_id)
            return RecordResult(
                event_id,
                event.event_type,
                event.contact_id,
                not stored.new,
                tuple(wait_id for _, wait_id in stored.matched),
                tuple(store.held_by(connection_, event.id)) if stored.has_listeners else (),
            )

        if connection is None:
            return write_within_budget(self._database, work)

        def in_callers(connection_: Connection) -> RecordResult:
            self._database.require_safe(connection_)
            return work(connection_, None)

        return self._database.write(in_callers, connection)

    def ingest_ndjson(
        self,
        lines: Iterable[tuple[int, bytes]],
        *,
        source: str = DEFAULT_SOURCE,
        on_rejection: Callable[[LineRejection], None] = lambda _: None,
        on_batch: Callable[[IngestTotals], object] = lambda _: None,
        verify: bool = True,
        dry_run: bool = False,
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> IngestTotals:
        """Record a stream of NDJSON events in batches of 1,000, each in one transaction, in constant memory.

        What meets too many listeners for one transaction takes several, while ``may_go_on``; what is left then does not
        count as received. ``lines`` are numbered. A line that is no event goes to ``on_rejection`` and the rest goes
        on; so does one that names a source with a secret, unless ``verify`` is off. Interrupted and run again, a line
        with an id is not recorded twice. Raises `InvalidSourceError` when ``source`` itself has a secret.
        """
        verified = self._verified if verify else frozenset[str]()
        if source in verified:
            raise unverified(source)
        with self._database.read():
            pass  # an empty stream finds out, too, whether there is a database
        totals = IngestTotals()
        written: deque[tuple[LineBatch, Future[Stored]]] = deque()

        def finish() -> None:
            nonlocal totals
            batch, future = written.popleft()
            totals = _add_up(totals, batch, future.result(), on_rejection)
            on_batch(totals)

        # While the database takes one batch in, the next one lies ready and the one after it is read.
        with _thread() as writer:
            for batch in read_batches(lines, source, self._dialect, verified=verified):
                before = written[-1][1] if written else None
                written.append((batch, writer.submit(self._write, batch.encoded, before, may_go_on, dry_run=dry_run)))
                if len(written) > _AHEAD:
                    finish()
            while written:
                finish()
        return totals

    def _write(
        self, encoded: EncodedEvents, before: Future[Stored] | None, may_go_on: Callable[[], bool], *, dry_run: bool
    ) -> Stored:
        """Write a batch, unless the one ``before`` it failed: a stream ends there."""

        def write(part: EncodedEvents, work: Callable[[Connection, EncodedEvents, Verdicts], Stored]) -> Stored:
            return write_within_budget(
                self._database,
                lambda connection, verdicts: work(connection, part, verdicts),
                may_go_on=may_go_on,
                rollback=dry_run,
                is_news=lambda stored: stored.has_listeners,
            )

        def write_part(part: EncodedEvents, *, likely_new: bool) -> Stored:
            if likely_new and not self._database.is_sqlite:
                with suppress(store.EventsNotAllNewError):
                    return write(part, self._store_presumed_new)
            return write(part, self._store)

        # Where a stream has come to what is known, or refused, the next is likely to be so, too.
        likely_new = before is None or before.result().whole
        return self._in_parts(encoded, partial(write_part, likely_new=likely_new), may_go_on)

    def _in_parts(
        self, encoded: EncodedEvents, write: Callable[[EncodedEvents], Stored], may_go_on: Callable[[], bool]
    ) -> Stored:
        """Write events in one transaction, or in several when they meet too many listeners, each contact's in order."""
        try:
            return write(encoded)
        except OverBudgetError:  # stopped while the conditions were asked
            return Stored(set(), [], [], left=frozenset(row.id for row in encoded.rows))
        except TooManyPairsError as over:
            parts = self._parts(encoded, over.parts())
        stored = Stored(set(), [], [], whole=True)
        for part in parts:
            if not may_go_on():
                stored = stored.then(Stored(set(), [], [], left=frozenset(row.id for row in part.rows)))
                continue
            self._database.give_way()
            stored = stored.then(self._in_parts(part, write, may_go_on))
        return stored

    def _parts(self, encoded: EncodedEvents, parts: Sequence[Sequence[str]]) -> list[EncodedEvents]:
        """The events by the parts that their ids are in. Last those that are in none.

        For those nothing listens, or another one comes before them under the same id.
        """
        placed = {event_id: number for number, part in enumerate(parts) for event_id in part}
        rows: list[list[EventRow]] = [[] for _ in parts]
        for row in encoded.rows:
            rows[placed.get(row.id, -1)].append(row)
        return [EncodedEvents.of(part, self._dialect) for part in rows]

    def _store_presumed_new(self, connection: Connection, encoded: EncodedEvents, verdicts: Verdicts) -> Stored:
        now = self._database.lock_topics(connection, encoded.buckets, exclusive=False)
        listened_for = store.insert_presumed_new(connection, encoded.text, encoded.rows, now=now)
        matched = self._correlate(connection, encoded, listened_for, verdicts, now) if listened_for else []
        self._note_new(connection, encoded.rows, now)
        return Stored({row.id for row in encoded.rows}, matched, [], has_listeners=bool(listened_for), whole=True)

    def store(
        self,
        connection: Connection,
        events: Sequence[Event],
        registered: set[str] | None = None,
        *,
        divisible: bool = False,
    ) -> Stored:
        """Store these events, and resume what the new ones match, in the caller's transaction.

        What is too much for that, the next tick matches. ``divisible``: the caller would rather try again with fewer
        events; then `TooManyPairsError` is raised. ``registered`` are the types, where the transaction has asked for
        them.
        """
        if not events:
            return Stored(set(), [], [])
        return self._store(connection, self._encoded(events), None, registered, divisible=divisible)

    def _encoded(self, events: Sequence[Event]) -> EncodedEvents:
        return EncodedEvents.of([store.row_of(event) for event in events], self._dialect)

    def _store(
        self,
        connection: Connection,
        encoded: EncodedEvents,
        verdicts: Verdicts | None,
        registered: set[str] | None = None,
        *,
        divisible: bool = False,
    ) -> Stored:
        now = self._database.lock_topics(connection, encoded.buckets, exclusive=False)
        refused = _unregistered(encoded, store.registered_types(connection) if registered is None else registered)
        ids = {row.id for row in encoded.rows}
        text = encoded.text
        if refused:
            ids -= {row.id for row, _ in refused}
            text = store.encode_rows([row for row in encoded.rows if row.id in ids], self._dialect)
        if not ids:
            return Stored(set(), [], refused)
        inserted = store.insert_events(connection, text, ids, now=now)
        new, matched = inserted.listened_for, list[tuple[str, str]]()
        if new:
            matched = self._correlate(connection, encoded, new, verdicts, now, divisible=divisible)
        self._note_new(connection, [row for row in encoded.rows if row.id in ids - inserted.dropped], now)
        whole = not refused and not inserted.dropped
        return Stored(ids - inserted.dropped, matched, refused, has_listeners=bool(new), whole=whole)

    def _note_new(self, connection: Connection, rows: Sequence[EventRow], now: datetime) -> None:
        self._note_zones(connection, rows, now)
        # Ids are made by this host's clock, and in their order. The mark of the totals may be past one that is old.
        if rows and (self._database.is_sqlite or rows[0].id < first_id_at(now - _OLD)):
            from waitctl.infrastructure.store.rollups import add_events_behind

            add_events_behind(connection, [(row.id, row.source) for row in rows], now=now)

    def _note_zones(self, connection: Connection, rows: Sequence[EventRow], now: datetime) -> None:
        """Write the zones of contacts that new events tell, of sources whose events do."""
        for source, field in self._zone_fields.items():
            telling = [(row.contact_id, from_json(row.data)) for row in rows if row.source == source]
            if telling:
                from waitctl.application.contacts import note_zones

                note_zones(connection, telling, field, now=now)

    def _correlate(
        self,
        connection: Connection,
        encoded: EncodedEvents,
        event_ids: Collection[str],
        verdicts: Verdicts | None,
        now: datetime,
        *,
        divisible: bool = False,
    ) -> list[tuple[str, str]]:
        """Without ``verdicts`` the transaction cannot run again: what it cannot take on is left to the next tick."""
        given: _Correlating = {
            "now": now,
            "reason": self._database.dated("event "),
            "actor": self._actor,
            "largest": max(len(row.data) for row in encoded.rows),
        }
        if verdicts is not None:
            matched = matching.correlate_events(connection, event_ids, self._opening_for, verdicts, **given)
        else:
            done = matching.correlate_what_fits(
                connection, event_ids, self._opening_for, Verdicts(), divisible=divisible, **given
            )
            if left := set(event_ids).difference(done.event_ids):
                store.mark_correlated(connection, left, now=None)
            matched = done.matched
        if matched:
            self._coming_again.stop_by(connection, [wait_id for _, wait_id in matched], now=now)
        return matched

    def _opening_for(
        self, zone: str, config: Mapping[str, Any], wait_id: str, *, received_at: datetime, now: datetime
    ) -> datetime | None:
        return self._host_rules.for_event(zone, config, wait_id, received_at=received_at, now=now)

    # -- looking --------------------------------------------------------------------------------------------------

    def get_event(self, event_id: str) -> Event:
        """An event by its id, or by a head or tail of it of at least 8 digits.

        Raises `EventNotFoundError` or `AmbiguousIdError`.
        """
        with self._database.read() as connection:
            return get_by_id(connection, EVENT, event_id, store.get_event)

    def list_events(
        self,
        *,
        event_type: str | None = None,
        contact: str | None = None,
        since: datetime | None = None,
        unmatched: bool = False,
        limit: int = 50,
        after: str | None = None,
    ) -> list[Event]:
        """Events, newest first, older than the event ``after`` (its id, or a head or tail of it).

        Raises `InvalidEventTypeError` or `InvalidEventError` for what none can have.
        """
        if event_type is not None:
            check_event_type_name(event_type)
        with self._database.read() as connection:
            return store.list_events(
                connection,
                event_type=event_type,
                contact_id=None if contact is None else normalize_contact(contact, error=InvalidEventError),
                since=since,
                unmatched=unmatched,
                limit=limit,
                after=find_cursor(connection, EVENT, after) if after else None,
            )

    # -- event types ----------------------------------------------------------------------------------------------

    def list_types(self) -> list[tuple[str, str, bool]]:
        """The registered event types: name, description, whether it is built in."""
        with self._database.read() as connection:
            return store.list_event_types(connection)

    def add_type(self, name: str, description: str = "") -> bool:
        """Register an event type. Returns whether it is new. Raises `InvalidEventTypeError`."""
        check_event_type_name(name)
        if description:
            check_text(description, "the description", error=InvalidEventTypeError)
        return self._database.write(
            lambda connection: store.insert_event_type(
                connection, name, description, now=self._database.clock(connection)
            )
        )

    def remove_type(self, name: str) -> None:
        """Forget an event type of one's own.

        Raises `InvalidEventTypeError` for a built-in or unknown one, `EventTypeInUseError` while waits listen to it.
        """
        check_event_type_name(name)

        def work(connection: Connection) -> None:
            listening = store.count_listeners_of(connection, name)
            if listening:
                raise EventTypeInUseError(f"{listening} open waits listen to {name!r}")
            if not store.delete_event_type(connection, name):
                registered = name in store.registered_types(connection)
                raise InvalidEventTypeError(f"{name!a} is {'built in' if registered else 'not registered'}")

        self._database.write(work)


def _unregistered(encoded: EncodedEvents, registered: set[str]) -> list[tuple[EventRow, InvalidEventTypeError]]:
    refused: list[tuple[EventRow, InvalidEventTypeError]] = []
    for row in encoded.rows if encoded.types - registered else ():
        try:
            check_registered(row.event_type, registered)
        except InvalidEventTypeError as error:
            refused.append((row, error))
    return refused


class _Correlating(TypedDict):
    """What `matching` takes by name."""

    now: datetime
    reason: str
    actor: str
    largest: int


@contextmanager
def _thread() -> Iterator[Executor]:
    """A thread beside this one. It is waited for, unless somebody presses Ctrl-C once more."""
    from concurrent.futures import ThreadPoolExecutor

    executor = ThreadPoolExecutor(max_workers=1)
    try:
        yield executor
    except KeyboardInterrupt:
        executor.shutdown(wait=False)
        raise
    except BaseException:
        executor.shutdown()
        raise
    executor.shutdown()


def _add_up(
    totals: IngestTotals, batch: LineBatch, stored: Stored, on_rejection: Callable[[LineRejection], None]
) -> IngestTotals:
    rows = batch.encoded.rows
    rejected = list(batch.rejected)
    taken = len(rows) - len(stored.left)
    if stored.refused:
        numbers = {row.id: number for row, number in zip(rows, batch.numbers, strict=True)}
        rejected += [LineRejection(numbers[row.id], error) for row, error in stored.refused]
    for rejection in sorted(rejected, key=lambda rejection: rejection.line):
        on_rejection(rejection)
    return replace(
        totals,
        received=totals.received + taken + len(batch.rejected),
        recorded=totals.recorded + len(stored.new),
        duplicates=totals.duplicates + taken - len(stored.refused) - len(stored.new),
        rejected=totals.rejected + len(rejected),
        matched=totals.matched + len(stored.matched),
        without_id=totals.without_id + sum(row.external_id is None and row.id in stored.new for row in rows),
    )
