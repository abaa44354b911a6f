"""Which open waits an event resumes, and which event a new wait finds.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries. Of the waits the grouped ones
come first (`groups`), then those that broadcast, then those that are judged one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import Connection, FromClause
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.conditions import Subject
from waitctl.domain.deliveries import Outcome
from waitctl.domain.instants import format_instant
from waitctl.domain.listeners import Candidate, choose
from waitctl.domain.text import JsonObject
from waitctl.domain.waits import Resolution, WaitExecutionStatus
from waitctl.infrastructure.dialects import JsonRows, is_among, json_ids, json_rows, rfc3339
from waitctl.infrastructure.schema import events, listeners, waits
from waitctl.infrastructure.sql_batch import Claimed, statement
from waitctl.infrastructure.store.completion import (
    ID,
    NOW,
    WAITING,
    audit,
    claimed_ids,
    close_listeners,
    ending_steps,
    handler_of,
)
from waitctl.infrastructure.store.correlation import groups
from waitctl.infrastructure.store.correlation.match_predicates import CONDITIONAL, GROUPED, JUDGED, fits, fitting, kinds
from waitctl.infrastructure.store.correlation.verdicts import Question, Verdicts
from waitctl.infrastructure.store.waits import literal


class OpeningFor(Protocol):
    """Until when an event schedules a wait of this zone and configuration; ``None`` when it resumes it."""

    def __call__(
        self, zone: str, config: Mapping[str, Any], wait_id: str, *, received_at: datetime, now: datetime
    ) -> datetime | None: ...


def correlate_events(
    connection: Connection,
    event_ids: Iterable[str],
    opening_for: OpeningFor,
    verdicts: Verdicts,
    *,
    now: datetime,
    reason: str,
    actor: str,
) -> list[tuple[str, str]]:
    """Resume the waits that these events match. Returns (event id, wait id) pairs.

    A wait whose window is closed is scheduled for the next opening instead, and not among them. The topics' locks must
    be held: see `Database.lock_topics`. Raises `OverBudgetError`, and has changed nothing, when the conditions that
    ``verdicts`` do not know take too long.
    """
    wanted = json_ids(event_ids)
    return _correlate(connection, "events", wanted, opening_for, verdicts, now=now, reason=reason, actor=actor)


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
    _correlate(connection, "wait", wanted, opening_for, verdicts, now=now, reason=reason, actor=actor)
    return bool(connection.execute(_is_touched(), {"wait_id": wait_id}).scalar())


@statement
def _is_touched() -> sa.Select[Any]:
    """Whether the listeners of a wait may not be as they were created."""
    theirs = listeners.c.wait_id == sa.bindparam("wait_id", type_=ID)
    matched = sa.exists().where(theirs, listeners.c.matched_event_id.is_not(None))
    judged = sa.exists().where(theirs, sa.or_(GROUPED, CONDITIONAL))
    return sa.select(sa.or_(matched, judged))


def _correlate(
    connection: Connection,
    scope: str,
    wanted: str,
    opening_for: OpeningFor,
    verdicts: Verdicts,
    *,
    now: datetime,
    reason: str,
    actor: str,
) -> list[tuple[str, str]]:
    audit = {"now": now, "reason": reason, "actor": actor, "data": None}
    any_grouped, any_judged = connection.execute(_kinds_of_listeners(scope), {"wanted": wanted}).one()
    grouped = any_grouped and groups.lock_grouped(connection, scope, wanted, now=now)
    # What Python has a say in is decided by the domain and sent back as one parameter. Asked before anything is taken,
    # since waits of one execution that are open together may share an event; so groups count first, too.
    candidates = _gather_candidates(connection, scope, wanted, verdicts, now) if any_judged else _Candidates()
    if grouped:
        pairs = [_ids(row) for row in candidates.grouped]
        groups.count_events(connection, scope, wanted, pairs, now=now)
    rows = _resume_matching(scope).run(connection, wanted=wanted, **audit)
    chosen = candidates.chosen()
    # Another recorder of the topic may have woken the wait that we chose while we waited for its row. Then the event
    # goes on to the next one, which this transaction's new statement sees: nobody else will bring them together.
    while chosen:
        landed, taken = _take(connection, chosen, opening_for, audit)
        rows += taken
        if landed == len(chosen):
            break
        chosen = _gather_candidates(connection, scope, wanted, verdicts, now).chosen()
    if grouped:
        rows += _resume_complete(scope).run(connection, wanted=wanted, **audit)
        complete = list(connection.execute(_claim_complete_gated(scope), {"wanted": wanted}))
        rows += _take(connection, complete, opening_for, audit)[1] if complete else []
    if candidates.diagnostics:
        said = json_rows({"id": key, "diagnostic": text} for key, text in candidates.diagnostics.items())
        connection.execute(_note_diagnostics(), {"wanted": said})
    return [(row.event_id, row.id) for row in rows]


def _take(
    connection: Connection, chosen: Sequence[sa.Row[Any]], opening_for: OpeningFor, audit: Mapping[str, Any]
) -> tuple[int, list[sa.Row[Any]]]:
    """Resume or schedule the waits that were chosen. Returns how many landed, and those that it resumed."""
    pairs = [_pair(row, opening_for, audit["now"], audit["reason"]) for row in chosen]
    landed, rows = 0, list[sa.Row[Any]]()
    for batch, at_once in ((_resume_chosen(), True), (_defer_to_opening(), False)):
        part = [pair for pair in pairs if (pair["scheduled_at"] is None) is at_once]
        taken = batch.run(connection, wanted=json_rows(part), **audit) if part else []
        landed += len(taken)
        rows += taken if at_once else []
    return landed, rows


def _ids(row: sa.Row[Any]) -> JsonObject:
    return {"id": row.wait_id, "listener_id": row.listener_id, "event_id": row.event_id}


def _pair(row: sa.Row[Any], opening_for: OpeningFor, now: datetime, reason: str) -> JsonObject:
    """What becomes of a candidate that was chosen: with ``scheduled_at`` its wait is scheduled, else resumed."""
    opening = None
    if row.gated:
        opening = opening_for(row.timezone, row.wait_config, row.wait_id, received_at=row.received_at, now=now)
    outside = f", outside the window: scheduled for {format_instant(opening)}" if opening else ""
    return _ids(row) | {"scheduled_at": opening, "reason": f"{reason}{row.event_id}{outside}"}


@dataclass(slots=True)
class _Candidates:
    """What fits the listeners that Python has a say in, the oldest events first, conditions included.

    ``diagnostics``: by listener, the last event whose condition said neither yes nor no, and why.
    """

    single: list[sa.Row[Any]] = field(default_factory=list)
    grouped: list[sa.Row[Any]] = field(default_factory=list)
    diagnostics: dict[str, str] = field(default_factory=dict)

    def chosen(self) -> list[sa.Row[Any]]:
        """The candidates of waits that one event ends, and that take theirs now."""
        rows = {(row.wait_id, row.listener_id, row.event_id): row for row in self.single}
        candidates = (Candidate(row.wait_id, row.listener_id, row.event_id, row.exclusive) for row in rows.values())
        return [rows[c.wait_id, c.listener_id, c.event_id] for c in choose(candidates)]


def _gather_candidates(
    connection: Connection, scope: str, wanted: str, verdicts: Verdicts, now: datetime
) -> _Candidates:
    rows = connection.execute(_find_candidates(scope), {"wanted": wanted, "now": now}).all()
    questions = [Question(row.where, row.event_id, row.context) for row in rows if row.where is not None]
    said = iter(verdicts.of(questions, partial(_subjects, connection)))
    found = _Candidates()
    for row in rows:
        verdict = next(said) if row.where is not None else True
        if isinstance(verdict, str):
            found.diagnostics[row.listener_id] = f"event {row.event_id}: {verdict}"
        elif verdict:
            (found.grouped if row.group_no else found.single).append(row)
    return found


def _subjects(connection: Connection, event_ids: Sequence[str]) -> dict[str, Subject]:
    return {
        row.id: Subject(
            event_type=row.event_type,
            contact_id=row.contact_id,
            data=row.data,
            at=row.occurred_at or row.received_at,
            source=row.source,
        )
        for row in connection.execute(_get_subjects(), {"ids": event_ids})
    }


@statement
def _get_subjects() -> sa.Select[Any]:
    """What conditions see of these events."""
    names = ("id", "event_type", "contact_id", "source", "occurred_at", "received_at", "data")
    return sa.select(*(events.c[name] for name in names)).where(is_among(events.c.id))


@statement
def _note_diagnostics() -> sa.Update:
    """What conditions could not say. Last of all, since listeners are locked after their waits; and by id."""
    wanted = JsonRows("wanted", {"id": ID, "diagnostic": sa.Text()})
    found = sa.select(listeners.c.id, wanted.c.diagnostic).join(wanted, wanted.c.id == listeners.c.id)
    noted = found.order_by(listeners.c.id).with_for_update(of=listeners).cte("noted")
    return sa.update(listeners).values(diagnostic=noted.c.diagnostic).where(listeners.c.id == noted.c.id)


@statement
def _resume_matching(scope: str) -> Claimed:
    """Every wait that takes one event, and that Python has no say in, takes the oldest that fits it.

    Locks the waits by id, then their listeners.
    """
    fit = (
        sa.select(
            listeners.c.wait_id,
            listeners.c.id.label("listener_id"),
            events.c.id.label("event_id"),
            _age().label("age"),
        )
        .select_from(fitting())
        .where(*fits(scope), ~GROUPED, ~JUDGED)
        .cte("fit")
    )
    # IS TRUE: of a bare IN PostgreSQL would make a join, and compare all with all for a CTE that it thinks is small.
    oldest = sa.select(sa.func.min(fit.c.age)).group_by(fit.c.wait_id).correlate(None)
    columns = (waits.c.status.label("from_status"), handler_of(Outcome.EVENT), fit.c.event_id, fit.c.listener_id)
    claim = (
        sa.select(waits.c.id, *columns)
        .join(fit, fit.c.wait_id == waits.c.id)
        .where(WAITING, fit.c.age.in_(oldest).is_(sa.true()))
        .order_by(waits.c.id)
        .with_for_update(of=waits)
    )
    return _matching(claim)


def _age() -> sa.ColumnElement[str]:
    """What sorts an event and a listener by the event's age, and is theirs alone.

    One text, since of a row of columns no database makes a minimum: each form is of one length.
    """
    return rfc3339(events.c.received_at) + sa.cast(events.c.id, sa.Text) + sa.cast(listeners.c.id, sa.Text)


@statement
def _kinds_of_listeners(scope: str) -> sa.Select[Any]:
    """Whether any listener of these topics is grouped, and whether any is judged: as a rule none is."""
    return kinds(scope)


@statement
def _find_candidates(scope: str) -> sa.Select[Any]:
    """What fits by everything but its condition, for which the context travels."""
    return (
        sa.select(
            listeners.c.wait_id,
            listeners.c.id.label("listener_id"),
            listeners.c.exclusive,
            listeners.c.gated,
            listeners.c.group_no,
            listeners.c.where,
            events.c.id.label("event_id"),
            events.c.received_at,
            sa.case((CONDITIONAL, waits.c.context)).label("context"),
            waits.c.timezone,
            waits.c.wait_config,
        )
        .select_from(fitting())
        .where(*fits(scope), JUDGED, sa.or_(~GROUPED, CONDITIONAL))
        .order_by(events.c.received_at, events.c.id, waits.c.created_at, waits.c.id)
    )


@statement
def _resume_complete(scope: str) -> Claimed:
    """Resume the grouped waits that have all they need. Locks the waits by id, then their listeners."""
    return _matching(groups.complete_waits(scope, gated=False))


@statement
def _claim_complete_gated(scope: str) -> sa.Select[Any]:
    """The grouped waits that have all they need, and a window. Locks the waits by id."""
    return groups.complete_waits(scope, gated=True)


@statement
def _resume_chosen() -> Claimed:
    """Resume the wanted waits, if they still wait. Locks the waits by id, then their listeners."""
    return _matching(_claim_chosen())


def _claim_chosen() -> sa.Select[Any]:
    columns = {
        "id": ID,
        "listener_id": ID,
        "event_id": ID,
        "scheduled_at": waits.c.scheduled_at.type,
        "reason": sa.Text(),
    }
    wanted = JsonRows("wanted", columns)
    return (
        sa.select(
            waits.c.id,
            waits.c.status.label("from_status"),
            handler_of(Outcome.EVENT),
            wanted.c.event_id,
            wanted.c.listener_id,
            wanted.c.scheduled_at,
            wanted.c.reason,
        )
        .join(wanted, wanted.c.id == waits.c.id)
        .where(WAITING)
        .order_by(waits.c.id)
        .with_for_update(of=waits)
    )


@statement
def _defer_to_opening() -> Claimed:
    """Schedule waits, whose event came outside their window, for the next opening. No deadline ends them any more.

    Locks the waits by id, then their listeners.
    """

    def steps(claimed: FromClause) -> dict[str, UpdateBase]:
        scheduled = literal(WaitExecutionStatus.SCHEDULED, waits.c.status)
        changed = {
            "status": scheduled,
            "scheduled_at": claimed.c.scheduled_at,
            "timeout_at": sa.null(),
            "resolution_event_id": claimed.c.event_id,
            "updated_at": NOW,
        }
        deferred = sa.update(waits).values(changed).where(waits.c.id == claimed.c.id, WAITING)
        closed = close_listeners(claimed, Resolution.EVENT)
        return {"deferred": deferred, "audited": audit(claimed, scheduled), "closed": closed}

    return Claimed(_claim_chosen(), steps, claimed_ids)


def _matching(claim: sa.Select[Any]) -> Claimed:
    return Claimed(
        claim,
        lambda claimed: ending_steps(claimed, Resolution.EVENT),
        lambda claimed, _: sa.select(claimed.c.id, claimed.c.event_id),
    )
