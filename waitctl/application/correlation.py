"""Record and ingest events, and resume what they match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, partial
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from waitctl.application.ids import CANDIDATES, id_fragment, only_candidate
from waitctl.application.openings import Openings
from waitctl.domain.errors import (
    EventNotFoundError,
    EventTypeInUseError,
    InvalidEventError,
    InvalidEventTypeError,
    WaitStepError,
)
from waitctl.domain.events import Event, check_event_type_name, check_registered
from waitctl.domain.instants import parse_instant
from waitctl.domain.listeners import topic_bucket
from waitctl.domain.text import (
    MAX_JSON,
    JsonObject,
    check_json_object,
    check_text,
    is_harmless,
    normalize_contact,
    parse_json,
)
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.store import events as store
from waitctl.infrastructure.store import matching

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

DEFAULT_SOURCE = "cli"
BATCH = 1000
"""Events a transaction."""

MAX_LINE = 8 * MAX_JSON
"""Bytes of an NDJSON line: data of the largest size with every character escaped."""

_LINE_KEYS = {"type", "contact", "data", "id", "source", "at"}


@dataclass(frozen=True, slots=True)
class RecordResult:
    """What became of one event. ``matched``: the waits that it resumed."""

    event_id: str | None
    event_type: str
    contact_id: str
    duplicate: bool
    matched: tuple[str, ...]

    def to_json(self) -> JsonObject:
        """The document of `waitctl event record`."""
        return {
            "event_id": self.event_id,
            "type": self.event_type,
            "contact": self.contact_id,
            "duplicate": self.duplicate,
            "matched": list(self.matched),
        }


@dataclass(frozen=True, slots=True)
class IngestTotals:
    """What became of a stream of events. ``without_id`` of those recorded could not be deduplicated."""

    received: int = 0
    recorded: int = 0
    duplicates: int = 0
    ignored: int = 0
    rejected: int = 0
    matched: int = 0
    without_id: int = 0

    def to_json(self) -> JsonObject:
        """The document of `waitctl event ingest`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch: the ids of the new events, (event, wait) pairs, and the events of unknown types."""

    new: set[str]
    matched: list[tuple[str, str]]
    refused: list[tuple[Event, InvalidEventTypeError]]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line of a stream that is no event, and why."""

    line: int
    error: WaitStepError


@dataclass(frozen=True, slots=True)
class _Batch:
    """Lines that were read: their events, the events' line numbers, and what is no event."""

    events: list[Event]
    encoded: str
    numbers: dict[str, int]
    rejected: list[Rejection]


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
        self._actor = actor
        self._openings = Openings(settings)

    def record(self, event: Event, connection: Connection | None = None) -> RecordResult:
        """Store one event and resume what it matches, in one transaction.

        Recording the same (source, id) again has no effect. Raises `InvalidEventTypeError` for a type that is not
        registered and `UnsafeConnectionError` for a caller's transaction that could lose a wake-up.
        """

        def work(connection_: Connection) -> RecordResult:
            if connection is not None:
                self._database.require_safe(connection_)
            stored = self.store(connection_, [event])
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
            )

        return self._database.write(work, connection)

    def ingest_ndjson(
        self,
        lines: Iterable[tuple[int, bytes]],
        *,
        source: str = DEFAULT_SOURCE,
        on_rejection: Callable[[Rejection], None] = lambda _: None,
        on_batch: Callable[[IngestTotals], object] = lambda _: None,
        dry_run: bool = False,
    ) -> IngestTotals:
        """Record a stream of NDJSON events in batches of 1,000, each in one transaction, in constant memory.

        ``lines`` are numbered. A line that is no event goes to ``on_rejection`` and the rest goes on. Interrupted
        and run again, a line with an id is not recorded twice.
        """
        with self._database.read():
            pass  # an empty stream finds out, too, whether there is a database
        totals = IngestTotals()
        written: tuple[_Batch, Future[Stored]] | None = None

        def finish() -> None:
            nonlocal totals
            if written is not None:
                batch, future = written
                totals = _add_up(totals, batch, future.result(), on_rejection)
                on_batch(totals)

        # While the database takes one batch in, the next one is read.
        with _thread() as writer:
            for numbered in _batches(lines):
                batch = _read_batch(self._database, numbered, source)
                finish()
                written = batch, writer.submit(self._write, batch, dry_run=dry_run)
            finish()
        return totals

    def _write(self, batch: _Batch, *, dry_run: bool) -> Stored:
        return self._database.write(
            lambda connection: self.store(connection, batch.events, batch.encoded), rollback=dry_run
        )

    def store(self, connection: Connection, events: Sequence[Event], encoded: str | None = None) -> Stored:
        """Store these events, and resume what the new ones match, in the caller's transaction.

        ``encoded``: all of them as `store.encode_events` has them.
        """
        self._database.lock_topics(
            connection, [topic_bucket(event.event_type, event.contact_id) for event in events], exclusive=False
        )
        now = self._database.clock(connection)
        registered = store.registered_types(connection)
        refused: list[tuple[Event, InvalidEventTypeError]] = []
        for event in events:
            try:
                check_registered(event.event_type, registered)
            except InvalidEventTypeError as error:
                refused.append((event, error))
        if refused or encoded is None:
            known = [event for event in events if event.event_type in registered]
            encoded = store.encode_events(self._database, known) if known else None
        new = store.insert_events(connection, self._database, encoded, now=now) if encoded else {}
        heard = [event_id for event_id, is_heard in new.items() if is_heard]
        matched = (
            matching.correlate_events(
                connection,
                self._database,
                heard,
                self._openings.for_event,
                now=now,
                reason=self._database.dated("event "),
                actor=self._actor,
            )
            if heard
            else []
        )
        return Stored(set(new), matched, refused)

    # -- looking --------------------------------------------------------------------------------------------------

    def get_event(self, event_id: str) -> Event:
        """An event by its id, or by a head or tail of it of at least 8 digits.

        Raises `EventNotFoundError` or `AmbiguousIdError`.
        """
        fragment = id_fragment(event_id, "event")
        with self._database.read() as connection:
            found = store.find_event_ids(connection, fragment.replace("-", ""), CANDIDATES + 1)
            event = store.get_event(connection, only_candidate(event_id, found, "events")) if found else None
        if event is None:
            raise EventNotFoundError(f"no event {event_id}")
        return event

    def list_events(
        self,
        *,
        event_type: str | None = None,
        contact: str | None = None,
        since: datetime | None = None,
        unmatched: bool = False,
        limit: int = 50,
    ) -> list[Event]:
        """Events, newest first. Raises `InvalidEventTypeError` or `InvalidEventError` for what none can have."""
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
                connection, self._database, name, description, now=self._database.clock(connection)
            )
        )

    def remove_type(self, name: str) -> None:
        """Forget an event type of one's own.

        Raises `InvalidEventTypeError` for a built-in or unknown one, `EventTypeInUseError` while waits listen to it.
        """
        check_event_type_name(name)

        def work(connection: Connection) -> None:
            listening = store.count_listeners(connection, name)
            if listening:
                raise EventTypeInUseError(f"{listening} open waits listen to {name!r}")
            if not store.delete_event_type(connection, name):
                registered = name in store.registered_types(connection)
                raise InvalidEventTypeError(f"{name!a} is {'built in' if registered else 'not registered'}")

        self._database.write(work)


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


def _read_batch(database: Database, numbered: Sequence[tuple[int, bytes]], source: str) -> _Batch:
    events: list[Event] = []
    numbers: dict[str, int] = {}
    rejected: list[Rejection] = []
    for number, line in numbered:
        try:
            event = parse_line(line, source)
        except WaitStepError as error:
            rejected.append(Rejection(number, error))
        else:
            events.append(event)
            numbers[event.id] = number
    return _Batch(events, store.encode_events(database, events), numbers, rejected)


def _add_up(
    totals: IngestTotals, batch: _Batch, stored: Stored, on_rejection: Callable[[Rejection], None]
) -> IngestTotals:
    rejected = batch.rejected + [Rejection(batch.numbers[event.id], error) for event, error in stored.refused]
    for rejection in sorted(rejected, key=lambda rejection: rejection.line):
        on_rejection(rejection)
    return replace(
        totals,
        received=totals.received + len(batch.events) + len(batch.rejected),
        recorded=totals.recorded + len(stored.new),
        duplicates=totals.duplicates + len(batch.events) - len(stored.refused) - len(stored.new),
        rejected=totals.rejected + len(rejected),
        matched=totals.matched + len(stored.matched),
        without_id=totals.without_id
        + sum(event.external_id is None and event.id in stored.new for event in batch.events),
    )


def parse_line(line: bytes, default_source: str) -> Event:
    """An event from an NDJSON line: ``{"type","contact","data"?,"id"?,"source"?,"at"?}``.

    Raises `InvalidEventError` or `InvalidEventTypeError`.
    """
    if len(line) > MAX_LINE:
        raise InvalidEventError(f"the line is longer than {MAX_LINE:,} bytes")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise InvalidEventError(f"the line is not UTF-8: {error.reason} at byte {error.start}") from error
    fields = parse_json(text, "the line", error=InvalidEventError, finite=True)
    if not (harmless := isinstance(fields, dict) and is_harmless(text)):
        check_json_object(fields, "the line", error=InvalidEventError, limit=MAX_LINE)
    _check_fields(fields)
    at, data, external_id = fields.get("at"), fields.get("data"), fields.get("id")
    if data is not None and not (harmless and isinstance(data, dict)):
        check_json_object(data, "the data", error=InvalidEventError)
    return Event(
        id=new_id(),
        event_type=_known_name(fields["type"]),
        contact_id=normalize_contact(fields["contact"], error=InvalidEventError),
        data=data or {},
        source=_known_source(fields.get("source") or default_source),
        external_id=None if external_id is None else check_text(external_id, "the id", error=InvalidEventError),
        occurred_at=None if at is None else parse_instant(at, "at"),
    )


def _check_fields(fields: JsonObject) -> None:
    if not fields.keys() <= _LINE_KEYS:
        unknown = min(fields.keys() - _LINE_KEYS)
        raise InvalidEventError(f"unknown key {unknown!a}", hint="type, contact, data, id, source and at")
    for key in ("type", "contact"):
        if fields.get(key) is None:
            raise InvalidEventError(f"{key!r} is missing")
    for key, value in fields.items():
        if key != "data" and value is not None and not isinstance(value, str):
            raise InvalidEventError(f"{key!r} must be a string")


# A stream has few types and sources, and says them on every line.
_known_name = lru_cache(check_event_type_name)
_known_source = lru_cache(partial(check_text, what="the source", error=InvalidEventError))


def read_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines of a stream that are not blank, numbered from 1; of one that is too long, only its beginning."""
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        rest = line
        while rest and not rest.endswith(b"\n") and len(rest) > MAX_LINE:
            rest = stream.readline(MAX_LINE + 1)
        if line.strip():
            yield number, line


def _batches(lines: Iterable[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    remaining = iter(lines)
    while batch := list(islice(remaining, BATCH)):
        yield batch
