"""What came of recording events, and the document of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass

if TYPE_CHECKING:
    from waitctl.domain.errors import InvalidEventTypeError
    from waitctl.infrastructure.store.events import EventRow, HeldWait


@dataclass(frozen=True, slots=True)
class RecordResult:
    """What became of one event: the waits that it ``matched``, and those ``held`` until their next opening."""

    event_id: str | None
    event_type: str
    contact_id: str
    duplicate: bool
    matched: tuple[str, ...]
    held: tuple[HeldWait, ...] = ()

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
    """What became of a batch: the ids of the new events, (event, wait) pairs, and the events of unknown types.

    ``has_listeners``: whether anything listened for a topic of theirs, matched or not. ``whole``: whether all were new.
    ``left``: the events of a stream that was stopped before their turn came.
    """

    new: set[str]
    matched: list[tuple[str, str]]
    refused: list[tuple[EventRow, InvalidEventTypeError]]
    has_listeners: bool = False
    whole: bool = False
    left: frozenset[str] = frozenset()

    def then(self, later: Stored) -> Stored:
        """What became of this part of a batch and of a later one."""
        return Stored(
            self.new | later.new,
            self.matched + later.matched,
            self.refused + later.refused,
            has_listeners=self.has_listeners or later.has_listeners,
            whole=self.whole and later.whole,
            left=self.left | later.left,
        )
