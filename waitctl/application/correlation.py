"""Record and ingest events, and resume what they match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import BinaryIO

from waitctl.application.ids import CANDIDATES, id_fragment, only_candidate
from waitctl.domain.errors import (
    EventNotFoundError,
    EventTypeInUseError,
    InvalidEventError,
    InvalidEventTypeError,
    WaitStepError,
)
from waitctl.domain.events import Event, check_event_type_name, check_registered
from waitctl.domain.listeners import topic_bucket
from waitctl.domain.schedule import format_instant, parse_instant
from waitctl.domain.text import (
    MAX_JSON,
    JsonObject,
    check_json_object,
    check_text,
    normalize_contact,
    parse_json_object,
)
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.store import endings
from waitctl.infrastructure.store import events as store

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
class Rejection:
    """A line of a stream that is no event, and why."""

    line: int
    error: WaitStepError


def make_event(
    event_type: str,
    contact: str,
    *,
    data: JsonObject | None = None,
    external_id: str | None = None,
    source: str = DEFAULT_SOURCE,
    occurred_at: datetime | None = None,
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
    )


class EventService:
    """Events: stored first, deduplicated by (source, id), correlated by (event type, contact)."""

    def __init__(self, database: Database | str, *, actor: str = "api") -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._actor = actor

    def record(self, event: Event, connection: Connection | None = None) -> RecordResult:
        """Store one event and resume what it matches, in one transaction.

        Recording the same (source, id) again has no effect. Raises `InvalidEventTypeError` for a type that is not
        registered and `UnsafeConnectionError` for a caller's transaction that could lose a wake-up.
        """

        def work(connection_: Connection) -> RecordResult:
            if connection is not None:
                self._database.require_safe(connection_)
            new, matched, refused = self._store(connection_, [event])
            if refused:
                raise refused[0][1]
            event_id: str | None = event.id
            if not new and event.external_id is not None:
                event_id = store.find_event_id(connection_, event.source, event.external_id)
            return RecordResult(
                event_id, event.event_type, event.contact_id, not new, tuple(wait_id for _, wait_id in matched)
            )

        return self._database.write(work, connection)

    def ingest_ndjson(
        self,
        lines: Iterable[tuple[int, bytes]],
        *,
        source: str = DEFAULT_SOURCE,
        on_rejection: Callable[[Rejection], None] = lambda _: None,
        on_batch: Callable[[IngestTotals], None] = lambda _: None,
        dry_run: bool = False,
    ) -> IngestTotals:
        """Record a stream of NDJSON events in batches of 1,000, each in one transaction, in constant memory.

        ``lines`` are numbered. A line that is no event goes to ``on_rejection`` and the rest goes on. Interrupted
        and run again, a line with an id is not recorded twice.
        """
        with self._database.read():
            pass  # an empty stream finds out, too, whether there is a database
        totals = IngestTotals()
        for batch in _batches(lines):
            totals = self._ingest_batch(batch, source, totals, on_rejection, dry_run=dry_run)
            on_batch(totals)
        return totals

    def _ingest_batch(
        self,
        batch: Sequence[tuple[int, bytes]],
        source: str,
        totals: IngestTotals,
        on_rejection: Callable[[Rejection], None],
        *,
        dry_run: bool,
    ) -> IngestTotals:
        rejected: list[Rejection] = []
        events: dict[str, tuple[int, Event]] = {}
        for number, line in batch:
            try:
                event = parse_line(line, source)
                events[event.id] = number, event
            except WaitStepError as error:
                rejected.append(Rejection(number, error))
        new, matched, refused = self._database.write(
            lambda connection: self._store(connection, [event for _, event in events.values()]), rollback=dry_run
        )
        rejected += [Rejection(events[event.id][0], error) for event, error in refused]
        for rejection in sorted(rejected, key=lambda rejection: rejection.line):
            on_rejection(rejection)
        return replace(
            totals,
            received=totals.received + len(batch),
            recorded=totals.recorded + len(new),
            duplicates=totals.duplicates + len(events) - len(refused) - len(new),
            rejected=totals.rejected + len(rejected),
            matched=totals.matched + len(matched),
            without_id=totals.without_id + sum(events[event_id][1].external_id is None for event_id in new),
        )

    def _store(
        self, connection: Connection, events: Sequence[Event]
    ) -> tuple[set[str], list[tuple[str, str]], list[tuple[Event, WaitStepError]]]:
        """Store and correlate. Returns the new events' ids, (event, wait) pairs and the events that were refused."""
        self._database.lock_topics(
            connection, [topic_bucket(event.event_type, event.contact_id) for event in events], exclusive=False
        )
        now = self._database.clock(connection)
        registered = store.registered_types(connection)
        refused: list[tuple[Event, WaitStepError]] = []
        for event in events:
            try:
                check_registered(event.event_type, registered)
            except InvalidEventTypeError as error:
                refused.append((event, error))
        known = [event for event in events if event.event_type in registered]
        new = store.insert_events(connection, self._database, known, now=now) if known else set()
        matched = (
            endings.correlate_events(
                connection, self._database, new, now=now, reason=self._reason("event "), actor=self._actor
            )
            if new
            else []
        )
        return new, matched, refused

    def _reason(self, reason: str) -> str:
        return reason if self._database.as_of is None else f"as of {format_instant(self._database.as_of)}: {reason}"

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
    fields = parse_json_object(text, "the line", error=InvalidEventError, limit=MAX_LINE)
    if unknown := sorted(set(fields) - _LINE_KEYS):
        raise InvalidEventError(f"unknown key {unknown[0]!a}", hint="type, contact, data, id, source and at")
    for key in ("type", "contact"):
        if fields.get(key) is None:
            raise InvalidEventError(f"{key!r} is missing")
    for key in ("type", "contact", "id", "source", "at"):
        if not isinstance(fields.get(key), str | None):
            raise InvalidEventError(f"{key!r} must be a string")
    at = fields.get("at")
    return make_event(
        fields["type"],
        fields["contact"],
        data=fields.get("data"),
        external_id=fields.get("id"),
        source=fields.get("source") or default_source,
        occurred_at=None if at is None else parse_instant(at, "at"),
    )


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
