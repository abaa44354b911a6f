"""Which events a listener takes: the terms of the rule, and which of them an event failed first.

The store asks the same of both databases in SQL (`match_predicates`); a property test holds it to what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from waitctl.domain.conditions import ConditionError, holds
from waitctl.domain.durations import format_timedelta
from waitctl.domain.events import Event
from waitctl.domain.instants import format_instant
from waitctl.domain.listeners import MACHINE, EventListener
from waitctl.domain.matching import contains, matches_text, scalar_text
from waitctl.domain.statuses import ListenerStatus, Resolution, WaitExecutionStatus
from waitctl.domain.text import to_json
from waitctl.domain.values import dataclass
from waitctl.domain.waits import WaitStepExecution


@dataclass(frozen=True, slots=True)
class Taker:
    """A wait that has taken an event, and whether for itself alone."""

    event_id: str
    wait_id: str
    workflow_execution_id: str
    exclusive: bool
    resumed: bool
    """Whether it was resumed by the event: then no other wait of its execution takes it any more."""
    scheduled: bool
    """Whether the event came outside its window and is still to resume it. One that was cancelled has released it."""


@dataclass(frozen=True, slots=True)
class Miss:
    """The first term of a listener that an event failed. ``passed``: how many it passed before, the nearness."""

    term: str
    reason: str
    passed: int

    def __str__(self) -> str:
        return self.reason


def matches(
    listener: EventListener,
    event: Event,
    wait: WaitStepExecution,
    takers: Sequence[Taker] = (),
    *,
    at: datetime | None = None,
) -> bool:
    """Whether ``listener``, of an open ``wait``, takes an ``event`` that is correlated at ``at``: no term misses.

    ``takers`` are the waits that have taken the event. See `find_miss`.
    """
    listens = listener.status is ListenerStatus.ACTIVE and wait.status is WaitExecutionStatus.WAITING
    return listens and _first_miss(listener, event, wait, takers, at) is None


def find_miss(
    listener: EventListener, event: Event, wait: WaitStepExecution, takers: Sequence[Taker] = ()
) -> Miss | None:
    """The first term that ``event`` fails of ``wait``'s ``listener``; ``None`` when the wait took it.

    ``takers`` are the waits that have taken the event.
    """
    if any(taker.wait_id == wait.id for taker in takers):
        return None
    missed = _first_miss(listener, event, wait, takers)
    if missed is not None:
        return missed
    if listener.status is ListenerStatus.MATCHED:
        return Miss("order", f"this wait has had its {listener.event_type} already", 99)
    if wait.status is WaitExecutionStatus.WAITING:
        return Miss("correlation", "it is not correlated yet: the next tick does it", 99)
    return Miss("order", "another event was first", 99)


def _first_miss(
    listener: EventListener,
    event: Event,
    wait: WaitStepExecution,
    takers: Sequence[Taker],
    at: datetime | None = None,
) -> Miss | None:
    for passed, (term, check) in enumerate(_terms(listener, event, wait, takers, at)):
        reason = check()
        if reason is not None:
            return Miss(term, reason, passed)
    return None


def _terms(
    listener: EventListener,
    event: Event,
    wait: WaitStepExecution,
    takers: Sequence[Taker],
    at: datetime | None,
) -> Iterator[tuple[str, Callable[[], str | None]]]:
    """Every term, the cheap ones first."""
    yield "type", lambda: _differs("type", event.event_type, listener.event_type)
    yield "contact", lambda: _differs("contact", event.contact_id, listener.contact_id)
    yield "time", lambda: _untimely(listener, event)
    yield "wait", lambda: _ended_before(wait, event)
    yield "expiry", lambda: _expired(event, wait, at)
    yield "match", lambda: _unmatched(listener, event)
    yield "match-json", lambda: _not_contained(listener, event)
    yield "human", lambda: _by_machine(listener, event)
    yield "distinct", lambda: _without_text(listener, event)
    yield "where", lambda: _where(listener, event, wait)
    yield "taken", lambda: _taken(wait, takers)


def _differs(what: str, found: str, wanted: str) -> str | None:
    return None if found == wanted else f"{what}: it is {found}, wanted {wanted}"


def _untimely(listener: EventListener, event: Event) -> str | None:
    received = event.received_at
    if received is None:
        return "received: nobody can tell when"
    if received < listener.since_at:
        began = format_instant(listener.since_at)
        return f"received {_span(listener.since_at - received)} before the look-back began, at {began}"
    if listener.in_time(received, event.occurred_at) or listener.timeout_at is None:
        return None
    late = f"received {_span(received - listener.timeout_at)} after the deadline"
    if listener.expires_at is not None and received < listener.expires_at:
        happened = "does not say when it happened" if event.occurred_at is None else "happened after it, too"
        return f"{late}: within the grace, but it {happened}"
    return late


def _ended_before(wait: WaitStepExecution, event: Event) -> str | None:
    if wait.resolved_at is None or event.received_at is None or event.received_at < wait.resolved_at:
        return None
    how = "been cancelled" if wait.resolution is Resolution.CANCELLED else f"ended ({wait.resolution})"
    return f"wait: it had {how} {_span(event.received_at - wait.resolved_at)} before"


def _expired(event: Event, wait: WaitStepExecution, at: datetime | None) -> str | None:
    """As of ``at``; without it, of when they first met."""
    met_at = at or max(wait.created_at, event.received_at or wait.created_at)
    if event.expires_at is None or event.expires_at > met_at:
        return None
    return f"expiry: it was good until {format_instant(event.expires_at)} only"


def _unmatched(listener: EventListener, event: Event) -> str | None:
    for key, wanted in (listener.match or {}).items():
        if not matches_text(event.data, {key: wanted}):
            found = scalar_text(event.data, key)
            return f"match: {key} is {'missing' if found is None else f'`{found}`'}, wanted `{wanted}`"
    return None


def _not_contained(listener: EventListener, event: Event) -> str | None:
    if listener.match_json is None or contains(event.data, listener.match_json):
        return None
    return f"match-json: the data does not contain {to_json(listener.match_json)}"


def _by_machine(listener: EventListener, event: Event) -> str | None:
    return "human: a machine caused it" if listener.human and contains(event.data, MACHINE) else None


def _without_text(listener: EventListener, event: Event) -> str | None:
    if listener.distinct is None or scalar_text(event.data, listener.distinct) is not None:
        return None
    return f"distinct: {listener.distinct} is missing"


def _where(listener: EventListener, event: Event, wait: WaitStepExecution) -> str | None:
    if listener.where is None:
        return None
    try:
        held = holds(
            listener.where,
            event_type=event.event_type,
            contact_id=event.contact_id,
            data=event.data,
            at=event.occurred_at or event.received_at,
            source=event.source,
            context=wait.context,
        )
    except ConditionError as error:
        return f"where: error: {error}"
    return None if held else f"where: {listener.where} is false"


def _taken(wait: WaitStepExecution, takers: Sequence[Taker]) -> str | None:
    for taker in takers:
        if taker.exclusive and (taker.resumed or taker.scheduled):
            return f"taken: wait {taker.wait_id} took it exclusively"
        if taker.resumed and taker.workflow_execution_id == wait.workflow_execution_id:
            return f"taken: wait {taker.wait_id} of the same execution was resumed by it"
    return None


def still_wanted(wait: WaitStepExecution) -> str:
    """What an open wait is waiting for, or how it ended, in a line."""
    if wait.status is WaitExecutionStatus.SCHEDULED and wait.scheduled_at is not None:
        opening = ", the next opening after its event" if wait.resolution_event_id else ""
        return f"for {format_instant(wait.scheduled_at)}{opening}"
    if not wait.status.is_open:
        return f"for nothing any more: {wait.status} ({wait.resolution})"
    groups: dict[int, list[EventListener]] = {}
    for listener in wait.listeners:
        groups.setdefault(listener.group_no, []).append(listener)
    parts = [text for group in groups.values() if (text := _group_wants(group))]
    until = f", until {format_instant(wait.timeout_at)}" if wait.timeout_at else ""
    return f"for {' and '.join(parts)} of {wait.contact_id}{until}"


def _group_wants(group: Sequence[EventListener]) -> str | None:
    needed, seen = group[0].needed, sum(listener.matched_count for listener in group)
    if group[0].is_grouped and seen >= needed:
        return None
    names = " or ".join(listener.event_type for listener in group)
    return f"{names} ({seen} of {needed})" if needed > 1 else names


_NEVER = datetime.min.replace(tzinfo=UTC)


def _span(span: timedelta) -> str:
    return format_timedelta(span) if abs(span) >= timedelta(seconds=1) else "less than a second"


def nearest(misses: Sequence[tuple[Miss, datetime | None]]) -> list[int]:
    """The places of misses, nearest first: those that passed most terms, then the latest."""
    return sorted(
        range(len(misses)), key=lambda place: (misses[place][0].passed, misses[place][1] or _NEVER), reverse=True
    )
