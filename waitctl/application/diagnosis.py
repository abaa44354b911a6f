"""Why an event did not match, and what a wait is still waiting for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from waitctl.application.documents import event_document, instant
from waitctl.application.id_lookup import EVENT, WAIT, get_by_id
from waitctl.domain.events import Event
from waitctl.domain.near_misses import Miss, Taker, find_miss, nearest, still_wanted
from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.store import events as event_store
from waitctl.infrastructure.store import waits as wait_store
from waitctl.infrastructure.store.correlation import near_misses as store

LOOKED_AT = 200
"""Waits or events of a contact that are looked at, newest first."""

_CONTACTS = 5000
_CONTACTS_AT_ONCE = 1000
"""Whose spelling is compared; each takes some microseconds."""

_BEFORE = timedelta(days=1)
"""How long before its look-back a wait's misses are looked for."""


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A wait and an event that did not come together, and why."""

    wait: WaitStepExecution
    event: Event
    event_type: str
    miss: Miss

    def to_json(self) -> JsonObject:
        """An element of ``misses`` in the documents of `why` and `event why`."""
        return {
            "wait_id": self.wait.id,
            "workflow_execution_id": self.wait.workflow_execution_id,
            "step_id": self.wait.step_id,
            "status": self.wait.status,
            "listens_to": self.event_type,
            "contact_id": self.wait.contact_id,
            "event_id": self.event.id,
            "event_type": self.event.event_type,
            "event_contact": self.event.contact_id,
            "received_at": instant(self.event.received_at),
            "term": self.miss.term,
            "reason": self.miss.reason,
        }


@dataclass(frozen=True, slots=True)
class WhyEvent:
    """An event, the waits that took it, and those that nearly did."""

    event: Event
    misses: tuple[NearMiss, ...]
    now: datetime

    def to_json(self) -> JsonObject:
        """The document of `waitctl event why`."""
        return {"event": event_document(self.event), "misses": [each.to_json() for each in self.misses]}


@dataclass(frozen=True, slots=True)
class WhyWait:
    """A wait, what it is still waiting for, and the events that nearly ended it."""

    wait: WaitStepExecution
    waiting_for: str
    misses: tuple[NearMiss, ...]
    now: datetime

    def to_json(self) -> JsonObject:
        """The document of `waitctl why`."""
        return {
            "id": self.wait.id,
            "status": self.wait.status,
            "resolution": self.wait.resolution,
            "waiting_for": self.waiting_for,
            "listeners": [
                {
                    "event_type": listener.event_type,
                    "status": listener.status,
                    "group": listener.group_no,
                    "matched_count": listener.matched_count,
                    "needed": listener.needed,
                    "diagnostic": listener.diagnostic,
                }
                for listener in self.wait.listeners
            ],
            "misses": [each.to_json() for each in self.misses],
        }


class WhyService:
    """Says which term kept events and waits apart. Reads only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def why_event(self, event_id: str, *, limit: int = 10, at_once: bool = False) -> WhyEvent:
        """An event's nearest misses among the waits of its contact, or of contacts spelled nearly so.

        ``at_once``: for a screen, of the ended waits only those that were made at about the time of the event.
        Raises `EventNotFoundError` or `AmbiguousIdError`.
        """
        with self._database.read() as connection:
            event = get_by_id(connection, EVENT, event_id, event_store.get_event)
            around, most = (event.id, _CONTACTS_AT_ONCE) if at_once else (None, _CONTACTS)
            waits = store.waits_about(connection, [event.contact_id], LOOKED_AT, around=around)
            if not waits:
                known = store.contacts_listened_for(connection, event.event_type, most, around=around)
                near = _spelled_alike(event.contact_id, known)
                waits = store.waits_about(connection, near, LOOKED_AT, around=around) if near else []
            takers = store.takers(connection, [event.id])
            now = self._database.clock(connection)
        return WhyEvent(event, _near_misses([(wait, event) for wait in waits], takers, limit), now)

    def why_wait(self, wait_id: str, *, limit: int = 10, at_once: bool = False) -> WhyWait:
        """What a wait is still waiting for, and the events that came nearest to ending it.

        ``at_once``: for a screen, other spellings of its contact only among the events of about the time it was made.
        Raises what `id_lookup.find_id` raises, and `EventListenerNotFoundError` when nothing listens for it.
        """
        with self._database.read() as connection:
            wait = get_by_id(connection, WAIT, wait_id, wait_store.get_wait)
            now = self._database.clock(connection)
            wait.check_listeners()
            if wait.contact_id is None or not wait.listeners:
                return WhyWait(wait, still_wanted(wait), (), now)
            since = min(listener.since_at for listener in wait.listeners) - _BEFORE
            ids = store.events_about(connection, [wait.contact_id], since, LOOKED_AT)
            if not ids:
                types = [listener.event_type for listener in wait.listeners]
                around, most = (wait.id, _CONTACTS_AT_ONCE) if at_once else (None, _CONTACTS)
                known = store.contacts_with_events(connection, types, since, most, around=around)
                near = _spelled_alike(wait.contact_id, known)
                ids = store.events_about(connection, near, since, LOOKED_AT) if near else []
            events = event_store.get_events(connection, ids)
            takers = store.takers(connection, ids) if ids else []
        return WhyWait(wait, still_wanted(wait), _near_misses([(wait, event) for event in events], takers, limit), now)


def _spelled_alike(contact: str, known: Sequence[str]) -> list[str]:
    from difflib import get_close_matches  # only where nobody is spelled the same

    folded = {each.casefold(): each for each in known}
    return [folded[each] for each in get_close_matches(contact.casefold(), folded, n=3, cutoff=0.8)]


def _near_misses(
    pairs: Sequence[tuple[WaitStepExecution, Event]], takers: Sequence[Taker], limit: int
) -> tuple[NearMiss, ...]:
    """For each pair its best listener; the nearest pairs first."""
    found = []
    for wait, event in pairs:
        taken = [taker for taker in takers if taker.event_id == event.id]
        misses = [(find_miss(listener, event, wait, taken), listener) for listener in wait.listeners]
        failed = [(miss, listener) for miss, listener in misses if miss is not None]
        if failed and len(failed) == len(misses):
            miss, listener = max(failed, key=lambda each: each[0].passed)
            # Of another contact only what its right spelling would have brought together is near.
            if event.contact_id == wait.contact_id or miss.term == "contact":
                found.append(NearMiss(wait, event, listener.event_type, miss))
    order = nearest([(each.miss, each.event.received_at) for each in found])
    return tuple(found[place] for place in order[:limit])
