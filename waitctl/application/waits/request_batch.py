"""Waits that are asked for, gathered until a transaction is full, and made ready for it.

What can be asked of a thousand at once is asked when they are all there: one at a time it takes several times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from operator import attrgetter
from typing import NamedTuple

import pydantic_core

from waitctl.application.waits.creating import WaitCreator
from waitctl.application.waits.requests import Alike, WaitRequest
from waitctl.application.waits.results import Rejection
from waitctl.domain.errors import WaitStepError
from waitctl.domain.events import TOPIC_BUCKETS, topic_bucket
from waitctl.domain.listeners import EventQuery
from waitctl.domain.text import JsonObject, StorableObject
from waitctl.domain.values import dataclass
from waitctl.domain.waits import Own, checked_contacts
from waitctl.infrastructure.ids import new_ids
from waitctl.infrastructure.store import creation as store
from waitctl.infrastructure.store.creation import EncodedWaits, NewWait


class Item(NamedTuple):
    """A wait that is asked for: where among the requests, by what, and what it has of its own."""

    place: int
    asked: WaitRequest | Alike
    row: NewWait


_step = attrgetter("workflow_execution_id", "step_id")
_key = attrgetter("workflow_id", "idempotency_key")


@dataclass(slots=True)
class RequestBatch:
    """Waits of one transaction. ``plans``: a request for each of those that differ by more than where they belong."""

    places: list[int] = field(default_factory=list)
    asked: list[WaitRequest | Alike] = field(default_factory=list)
    rows: list[NewWait] = field(default_factory=list)
    """What each of these has of its own, once no more come."""
    rejected: list[Rejection] = field(default_factory=list)
    plans: list[WaitRequest] = field(default_factory=list)
    plan_ids: list[str] = field(default_factory=list)
    """The first wait of each plan, by whose id a wait is spread that has a plan of its own."""
    buckets: set[int] = field(default_factory=set)
    apart: set[str] = field(default_factory=set)
    """Waits whose step or key is another's before them, or that have a command, which is signed for its own wait."""
    encoded: EncodedWaits = ""
    """All waits, encoded while the database is busy with others."""
    size: int = 0
    has_keys: bool = False
    _owns: list[Own] = field(default_factory=list)
    _contexts: list[str | None] = field(default_factory=list)
    _plan_of: list[str] = field(default_factory=list)
    _firsts: list[int] = field(default_factory=list)
    _numbers: dict[object, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.asked) + len(self.rejected)

    def add(self, place: int, asked: WaitRequest | Alike, creator: WaitCreator, *, dry_run: bool) -> None:
        """Take one in, whose texts `close` checks. Raises what `WaitCreator.checked` raises."""
        if isinstance(asked, Alike):
            shared, own = asked
            key: object = id(shared)
        else:
            shared, own, key = asked, asked.own, _what_is_shared(asked)
        context, text = own.context, None
        if context is not None:
            if type(context) is not StorableObject:
                own.checked_contact()  # of what is wrong, the first is said
            text = _json(context)
        plan = self._numbers.get(key)
        if plan is None or (own.contact_id is None and isinstance(shared.asked, EventQuery)):
            own.checked_contact()
            plan = self._add_plan(key, creator.checked(asked.request, dry_run=dry_run))
        self.places.append(place)
        self.asked.append(asked)
        self.size += len(text or "")
        self._owns.append(own)
        self._contexts.append(text)
        self._plan_of.append(plan)

    def _add_plan(self, key: object, checked: WaitRequest) -> str:
        number = str(len(self.plans))
        self.plans.append(checked)
        self._firsts.append(len(self.asked))
        if not checked.is_apart:
            self._numbers[key] = number
        return number

    def items(self) -> list[Item]:
        """Each of its waits."""
        return list(map(Item, self.places, self.asked, self.rows))

    def rest(self, items: Sequence[Item]) -> RequestBatch:
        """These of its items, which the transaction before has left."""
        if not items:
            return RequestBatch()
        places, asked, rows = map(list, zip(*items, strict=True))
        rest = RequestBatch(places, asked, rows, [], self.plans, self.plan_ids, self.buckets, self.apart)
        rest.has_keys = self.has_keys
        return rest

    def close(self, dialect: str) -> None:
        """Make ready what the database is to be told, now that no more come."""
        if not self.asked:
            return
        ids = new_ids(len(self.asked))
        self.plan_ids = [ids[first] for first in self._firsts]
        contacts = checked_contacts(self._owns)
        closely = contacts is None
        executions, steps, workflows, given, _, keys = zip(*self._owns, strict=True)
        columns = (self._plan_of, workflows, executions, steps, given if contacts is None else contacts)
        self.rows = list(map(NewWait, ids, *columns, self._contexts, keys))
        if closely:
            self._check_each()
        keyed = [row for row in self.rows if row.idempotency_key is not None]
        self.has_keys = bool(keyed)
        self.apart |= _second(self.rows, list(map(_step, self.rows)))
        self.apart |= _second(keyed, list(map(_key, keyed)))
        commanded = {str(number) for number, plan in enumerate(self.plans) if plan.spec.command is not None}
        if commanded:
            self.apart.update(row.id for row in self.rows if row.plan in commanded)
        self._add_buckets()
        self.encoded = store.encode_waits(self.rows, dialect)

    def _check_each(self) -> None:
        """Keep those whose texts may be stored."""
        kept = list[Item]()
        for item, own in zip(self.items(), self._owns, strict=True):
            try:
                kept.append(item._replace(row=item.row._replace(contact_id=own.checked_contact())))
            except WaitStepError as error:
                self.rejected.append(Rejection(item.place, error))
        self.places, self.asked, self.rows = map(list, zip(*kept, strict=True)) if kept else ([], [], [])

    def _add_buckets(self) -> None:
        queries = {
            str(number): plan.asked for number, plan in enumerate(self.plans) if isinstance(plan.asked, EventQuery)
        }
        if not queries:
            return
        for row in self.rows:
            query = queries.get(row.plan)
            if query is not None and row.contact_id is not None:
                self.buckets.update(topic_bucket(event_type, row.contact_id) for event_type in query.types)
                if len(self.buckets) == TOPIC_BUCKETS:
                    return


def _second(rows: Sequence[NewWait], claims: Sequence[object]) -> set[str]:
    """The waits that lay claim to what another before them does."""
    if len(set(claims)) == len(claims):
        return set()
    first = dict(zip(reversed(claims), reversed(rows), strict=True))
    return {row.id for row, claim in zip(rows, claims, strict=True) if first[claim] is not row}


def _what_is_shared(request: WaitRequest) -> tuple[object, ...]:
    """What makes requests of one plan: the rest of each is where it belongs."""
    spec = request.spec
    return (
        *(id(request.asked), id(request.rules), request.base, spec.timezone, spec.handler, id(spec.handlers)),
        *(spec.zone_field, spec.zone_of_contact, spec.command, spec.traceparent, id(spec.template)),
    )


def _json(context: JsonObject) -> str:
    return context.text if isinstance(context, StorableObject) else pydantic_core.to_json(context).decode()
