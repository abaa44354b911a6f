"""What would happen: a copy of a database is played through, from one instant at which something ends to the next.

The database itself is read once, and nothing else of it is touched. No handler runs but those that are given for it.
"""

from __future__ import annotations

import json
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from waitctl.application.events.ndjson import parse_line
from waitctl.application.events.recording import EventService
from waitctl.application.inline_commands import InlineCommands
from waitctl.application.operations.moving import Export, Import, read_export_lines
from waitctl.application.processor.phases import Resolver
from waitctl.application.processor.run import Phase, Run, TickOptions
from waitctl.application.processor.tick import Tick
from waitctl.domain.errors import InvalidEventError, InvalidSettingError, InvalidWaitConfigurationError, WaitStepError
from waitctl.domain.events import Event
from waitctl.domain.instants import format_instant, parse_instant
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.store import deliveries as delivery_store
from waitctl.infrastructure.store import overview, rehearsal
from waitctl.infrastructure.store.rehearsal import EndedWait

_ACTOR = "simulation"

_ROUNDS = 1000
"""How often something may follow at the same instant from what happened at it."""

_FOR_EVER = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Ending:
    """A wait that would end, and when."""

    at: datetime
    after: timedelta
    wait: EndedWait

    def to_json(self) -> JsonObject:
        """The document of `waitctl simulate`."""
        seconds = self.after.total_seconds()
        after = int(seconds) if seconds.is_integer() else seconds
        return {"at": format_instant(self.at), "after_seconds": after, **self.wait._asdict()}


FIELDS = ("at", "after_seconds", *EndedWait._fields)


@dataclass(frozen=True, slots=True)
class PlayedEvent:
    """An event that comes at an instant; ``line`` is where it stands."""

    at: datetime
    line: int
    event: Event


def read_events(lines: Iterable[tuple[int, bytes]]) -> list[PlayedEvent]:
    """The events of NDJSON lines as ingest takes them, in the order of their ``at``, which each must have.

    Raises `InvalidEventError`, which names the line.
    """
    found = []
    for number, line in lines:
        try:
            row = parse_line(line, "simulation")
        except WaitStepError as error:
            raise InvalidEventError(f"line {number}: {error.message}", hint=error.hint) from error
        if row.occurred_at is None:
            raise InvalidEventError(f"line {number}: 'at' is missing: when does it come?")
        at = parse_instant(row.occurred_at, "at")
        event = Event(
            id=row.id,
            event_type=row.event_type,
            contact_id=row.contact_id,
            data=json.loads(row.data),
            source=row.source,
            external_id=row.external_id,
            occurred_at=at,
        )
        found.append(PlayedEvent(at, number, event))
    return sorted(found, key=lambda each: each.at)


@contextmanager
def copied(database: Database, settings: Settings) -> Iterator[Database]:
    """A copy in a file of its own, which is thrown away, at the instant that it was made."""
    with tempfile.TemporaryDirectory(prefix="waitctl-simulation-") as folder:
        file = Path(folder) / "waits.db"
        with database.read() as connection:
            now = database.clock(connection)
        with Database(f"sqlite:///{file}", as_of=now) as copy:
            if database.path is not None:
                database.back_up(file)
            else:
                _carry_over(database, copy, settings, Path(folder) / "waits.ndjson")
            copy.write(rehearsal.forget_commands)
            yield copy


def _carry_over(database: Database, copy: Database, settings: Settings, between: Path) -> None:
    with between.open("w+b") as file:
        Export(database).write(file)
        file.seek(0)
        Import(copy, InlineCommands(settings, copy)).read(read_export_lines(file))


class Simulation:
    """Plays a copy from the instant that it is at. ``settings`` has the calendars, and the handlers that do run."""

    def __init__(self, copy: Database, settings: Settings, events: Sequence[PlayedEvent] = ()) -> None:
        assert copy.as_of is not None
        self._copy = copy
        self._start = self._now = copy.as_of
        self._settings = replace(settings, database_url=copy.resolved_url, sources={}, retention=None)
        self._events = deque(events)
        self._service = EventService(copy, actor=_ACTOR, settings=self._settings)
        self._resolver = Resolver(Run(copy, TickOptions(time_budget=_FOR_EVER)), self._settings, actor=_ACTOR)

    def run(self, until: datetime) -> Iterator[Ending]:
        """What ends up to and at ``until``, in its order. Raises `InvalidSettingError` when that is past.

        Raises `InvalidEventError` for an event that cannot be recorded, and `InvalidWaitConfigurationError` when
        handlers make waits that are due at once without an end.
        """
        if until < self._start:
            raise InvalidSettingError(f"--until is past: it is {format_instant(self._start)}")
        with self._copy.read() as connection:
            before = rehearsal.ended_since(connection, self._start)
        following: datetime | None = self._start
        while following is not None and following <= until:
            self._now = self._copy.as_of = following
            self._play_events()
            self._come_to_rest()
            with self._copy.read() as connection:
                ended = rehearsal.ended_at(connection, self._now)
            yield from (Ending(self._now, self._now - self._start, wait) for wait in ended if wait.id not in before)
            following = self._following()

    def _play_events(self) -> None:
        while self._events and self._events[0].at <= self._now:
            played = self._events.popleft()
            try:
                self._service.record(played.event)
            except WaitStepError as error:
                raise InvalidEventError(f"line {played.line}: {error.message}", hint=error.hint) from error

    def _come_to_rest(self) -> None:
        """Do all that is to be done at this instant, and what follows from it."""
        for _ in range(_ROUNDS):
            with self._copy.read() as connection:
                self._resolver.run.look_ahead(connection)
            did = self._resolver.resolve()
            if not self._deliver() and not did:
                return
        raise InvalidWaitConfigurationError(f"it does not come to rest at {format_instant(self._now)}")

    def _deliver(self) -> bool:
        """Run the handlers that are given, and take all else as delivered. Returns whether any ran."""
        names = self._settings.handlers
        self._copy.write(lambda connection: rehearsal.take_as_delivered(connection, but=names, now=self._now))
        if not names:
            return False
        options = TickOptions(only=frozenset({Phase.DELIVER}), ignore_clock=True)
        report = Tick(self._copy, self._settings, options).run()
        return report.delivered + report.retried + report.dead > 0

    def _following(self) -> datetime | None:
        """The next instant at which something happens."""
        with self._copy.read() as connection:
            found = list(overview.next_ends(connection, now=self._now))
            if names := sorted(self._settings.handlers):
                found.append(delivery_store.next_attempt_at(connection, names, now=self._now))
        if self._events:
            found.append(self._events[0].at)
        return min((at for at in found if at is not None and at > self._now), default=None)
