"""Which open waits an event resumes, and which event a new wait finds.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries. Of the waits the grouped ones
come first (`groups`), then those that broadcast, then those that are judged one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from waitctl.domain.instants import format_instant
from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass
from waitctl.infrastructure.executor import Connection, Row
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.sql_values import json_ids, json_rows
from waitctl.infrastructure.store.correlation import groups
from waitctl.infrastructure.store.correlation.candidates import Candidates, find_candidates, look_back
from waitctl.infrastructure.store.correlation.loads import (
    Kinds,
    TooManyPairsError,
    before_open,
    look_at_kinds,
    require_few_pairs,
)
from waitctl.infrastructure.store.correlation.verdicts import OverBudgetError, Verdicts


class OpeningFor(Protocol):
    """Until when an event schedules a wait of this zone and configuration; ``None`` when it resumes it."""

    def __call__(
        self, zone: str, config: Mapping[str, Any], wait_id: str, *, received_at: datetime, now: datetime
    ) -> datetime | None: ...


def correlate_events(
    connection: Connection,
    event_ids: Collection[str],
    opening_for: OpeningFor,
    verdicts: Verdicts,
    *,
    now: datetime,
    reason: str,
    actor: str,
    largest: int = 0,
) -> list[tuple[str, str]]:
    """Resume the waits that these events match. Returns (event id, wait id) pairs.

    A wait whose window is closed is scheduled for the next opening instead, and not among them. The topics' locks must
    be held: see `Database.lock_topics`. ``largest``: bytes of the largest event. Raises `TooManyPairsError` when the
    events meet too many listeners for one transaction, and `OverBudgetError` when the conditions that ``verdicts`` do
    not know take too long; nothing has been changed then.
    """
    wanted = json_ids(event_ids)
    kinds = look_at_kinds(connection, "events", wanted)
    require_few_pairs(connection, event_ids, kinds, largest)
    gather = partial(find_candidates, connection, wanted, verdicts, now)
    return _correlate(connection, "events", wanted, kinds, opening_for, gather, now=now, reason=reason, actor=actor)


@dataclass(frozen=True, slots=True)
class Correlated:
    """What `correlate_what_fits` came to: the events that were correlated, (event, wait) pairs, what is left to ask."""

    event_ids: Collection[str]
    matched: list[tuple[str, str]]
    open: OverBudgetError | None = None


def correlate_what_fits(
    connection: Connection,
    event_ids: Collection[str],
    opening_for: OpeningFor,
    verdicts: Verdicts,
    *,
    now: datetime,
    reason: str,
    actor: str,
    largest: int = 0,
    divisible: bool = False,
) -> Correlated:
    """Do what `correlate_events` does with as many of these events as this transaction can take on.

    Of a contact none is correlated before an earlier one. ``divisible``: raise `TooManyPairsError` all the same.
    """
    correlate = partial(
        correlate_events,
        connection,
        opening_for=opening_for,
        verdicts=verdicts,
        now=now,
        reason=reason,
        actor=actor,
        largest=largest,
    )
    open_: OverBudgetError | None = None
    while event_ids:
        try:
            return Correlated(event_ids, correlate(event_ids), open_)
        except TooManyPairsError as over:
            if divisible:
                raise
            event_ids = over.first()
        except OverBudgetError as over:
            open_ = over
            event_ids = before_open(connection, event_ids, over.event_ids)
    return Correlated([], [], open_)


def correlate_wait(
    connection: Connection,
    wait_id: str,
    opening_for: OpeningFor,
    verdicts: Verdicts,
    *,
    now: datetime,
    reason: str,
    actor: str,
) -> bool:
    """Look back: end or schedule a wait that an event received before its creation matches. See `correlate_events`.

    Returns whether its listeners are not as they were.
    """
    wanted = json_ids([wait_id])
    kinds = look_at_kinds(connection, "wait", wanted)
    gather = partial(look_back, connection, wait_id, verdicts, now)
    _correlate(connection, "wait", wanted, kinds, opening_for, gather, now=now, reason=reason, actor=actor)
    return bool(connection.execute(kept("is_touched"), {"wait_id": wait_id}).scalar())


def _correlate(
    connection: Connection,
    scope: str,
    wanted: str,
    kinds: Kinds,
    opening_for: OpeningFor,
    gather: Callable[[], Candidates],
    *,
    now: datetime,
    reason: str,
    actor: str,
) -> list[tuple[str, str]]:
    audit = {"now": now, "reason": reason, "actor": actor, "data": None}
    grouped = kinds.grouped and groups.lock_grouped(connection, scope, wanted, now=now)
    # What Python has a say in is decided by the domain and sent back as one parameter. Asked before anything is taken,
    # since waits of one execution that are open together may share an event; so groups count first, too.
    candidates = gather() if kinds.judged else Candidates()
    if grouped:
        pairs = [_ids(row) for row in candidates.grouped]
        groups.count_events(connection, scope, wanted, pairs, now=now)
    rows = kept("resume_matching", scope).run(connection, wanted=wanted, **audit) if kinds.plain else []
    chosen = candidates.chosen()
    # Another recorder of the topic may have woken the wait that we chose while we waited for its row. Then the event
    # goes on to the next one, which this transaction's new statement sees: nobody else will bring them together.
    while chosen:
        landed, taken = _take(connection, chosen, opening_for, audit)
        rows += taken
        if landed == len(chosen):
            break
        chosen = gather().chosen()
    if grouped:
        rows += kept("resume_complete", scope).run(connection, wanted=wanted, **audit)
        complete = list(connection.execute(kept("claim_complete_gated", scope), {"wanted": wanted}))
        rows += _take(connection, complete, opening_for, audit)[1] if complete else []
    if candidates.diagnostics:
        said = json_rows({"id": key, "diagnostic": text} for key, text in candidates.diagnostics.items())
        connection.execute(kept("note_diagnostics"), {"wanted": said})
    return [(row.event_id, row.id) for row in rows]


def _take(
    connection: Connection, chosen: Sequence[Row], opening_for: OpeningFor, audit: Mapping[str, Any]
) -> tuple[int, list[Row]]:
    """Resume or schedule the waits that were chosen. Returns how many landed, and those that it resumed."""
    pairs = [_pair(row, opening_for, audit["now"], audit["reason"]) for row in chosen]
    landed, rows = 0, list[Row]()
    for batch, at_once in ((kept("resume_chosen"), True), (kept("defer_to_opening"), False)):
        part = [pair for pair in pairs if (pair["scheduled_at"] is None) is at_once]
        taken = batch.run(connection, wanted=json_rows(part), **audit) if part else []
        landed += len(taken)
        rows += taken if at_once else []
    return landed, rows


def _ids(row: Row) -> JsonObject:
    return {"id": row.wait_id, "listener_id": row.listener_id, "event_id": row.event_id}


def _pair(row: Row, opening_for: OpeningFor, now: datetime, reason: str) -> JsonObject:
    """What becomes of a candidate that was chosen: with ``scheduled_at`` its wait is scheduled, else resumed."""
    opening = None
    if row.gated:
        opening = opening_for(row.timezone, row.wait_config, row.wait_id, received_at=row.received_at, now=now)
    outside = f", outside the window: scheduled for {format_instant(opening)}" if opening else ""
    return _ids(row) | {"scheduled_at": opening, "reason": f"{reason}{row.event_id}{outside}"}
