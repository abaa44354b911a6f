"""Which open waits an event resumes, and which event a new wait finds.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries. Of the waits the grouped ones
come first (`groups`), then those that broadcast, then those that are judged one by one.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.statuses import Outcome, Resolution, WaitExecutionStatus
from waitctl.infrastructure.dialects import JsonRows, is_among, octets, rfc3339
from waitctl.infrastructure.schema import events, listeners, waits
from waitctl.infrastructure.sql_batch import Claimed, statement
from waitctl.infrastructure.store.statements import groups
from waitctl.infrastructure.store.statements.completion import (
    ACTIVE,
    ID,
    NOW,
    WAITING,
    audit,
    claimed_ids,
    close_listeners,
    ending_steps,
    handler_of,
)
from waitctl.infrastructure.store.statements.match_predicates import (
    CONDITIONAL,
    GROUPED,
    JUDGED,
    SAME_TOPIC,
    alike,
    fits,
    fitting,
    free,
    in_time,
    kinds,
    loads,
)
from waitctl.infrastructure.store.statements.waits import literal


@statement
def _is_touched() -> sa.Select[Any]:
    """Whether the listeners of a wait may not be as they were created."""
    theirs = listeners.c.wait_id == sa.bindparam("wait_id", type_=ID)
    matched = sa.exists().where(theirs, listeners.c.matched_event_id.is_not(None))
    judged = sa.exists().where(theirs, sa.or_(GROUPED, CONDITIONAL))
    return sa.select(sa.or_(matched, judged))


@statement
def _get_subjects() -> sa.Select[Any]:
    """What conditions see of these events."""
    names = ("id", "event_type", "contact_id", "source", "occurred_at", "received_at", "data")
    size = octets(events.c.data).label("size")
    return sa.select(*(events.c[name] for name in names), size).where(is_among(events.c.id))


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
    """Whether any listener of these topics is grouped or judged, as a rule none is, and how many pairs there are."""
    return kinds(scope)


@statement
def _measure_loads() -> sa.Select[Any]:
    """What correlating each of these events may cost; asked when all of them may cost too much together."""
    return loads()


@statement
def _find_candidates() -> sa.Select[Any]:
    """What fits by everything but its condition, for which the context travels; the configuration for a window."""
    return (
        sa.select(
            *_candidate(),
            listeners.c.where,
            sa.case((CONDITIONAL, waits.c.context)).label("context"),
        )
        .select_from(fitting())
        .where(*fits("events"), JUDGED, sa.or_(~GROUPED, CONDITIONAL))
        .order_by(events.c.received_at, events.c.id, waits.c.created_at, waits.c.id)
    )


def _candidate() -> list[sa.ColumnElement[Any]]:
    return [
        listeners.c.wait_id,
        listeners.c.id.label("listener_id"),
        listeners.c.exclusive,
        listeners.c.gated,
        listeners.c.group_no,
        events.c.id.label("event_id"),
        events.c.received_at,
        waits.c.timezone,
        sa.case((listeners.c.gated, waits.c.wait_config)).label("wait_config"),
    ]


@statement
def _find_judged() -> sa.Select[Any]:
    """The listeners of a wait that Python has a say in, and what each asks of an event."""
    columns = ("id", "event_type", "contact_id", "since_at", "match", "match_json", "human", "where")
    more = [listeners.c.group_no, listeners.c.needed, listeners.c.distinct]
    return (
        sa.select(
            *(listeners.c[name] for name in columns), *more, sa.case((CONDITIONAL, waits.c.context)).label("context")
        )
        .join(waits, waits.c.id == listeners.c.wait_id)
        .where(
            listeners.c.wait_id == sa.bindparam("wait_id", type_=ID),
            ACTIVE,
            JUDGED,
            sa.or_(~GROUPED, CONDITIONAL),
        )
        .order_by(listeners.c.id)
    )


@statement
def _find_earlier(where: str) -> sa.Select[Any]:
    """Events of a listener's topic that are as it asks, the oldest first: beyond a mark, or among those that are given.

    Those that it may not have are among them where a condition will be asked: what it says holds for ever, and they may
    be free again. The topic is given, too, so that the index has them in their order.
    """
    may_have = sa.and_(*in_time(), *free())
    if where == "beyond":
        at, beyond = sa.bindparam("at", type_=events.c.received_at.type), sa.bindparam("beyond", type_=ID)
        which = [events.c.received_at >= at, sa.or_(events.c.received_at > at, events.c.id > beyond)]
    else:
        which = [is_among(events.c.id)]
    return (
        sa.select(*_candidate(), may_have.label("may_have"))
        .select_from(fitting())
        .where(
            listeners.c.id == sa.bindparam("listener_id", type_=ID),
            *_of_topic(),
            *which,
            ACTIVE,
            WAITING,
            *alike(),
            sa.or_(CONDITIONAL, may_have),
        )
        .order_by(events.c.received_at, events.c.id)
        .limit(sa.bindparam("most", type_=sa.Integer))
    )


def _of_topic() -> list[sa.ColumnElement[bool]]:
    given = {name: sa.bindparam(name, type_=sa.Text) for name in ("contact_id", "event_type")}
    return [events.c[name] == value for name, value in given.items()]


@statement
def _count_passed() -> sa.Select[Any]:
    """How many events a topic has before a mark, from an index: when they are as many as before, they are the same."""
    since, before = (sa.bindparam(name, type_=events.c.received_at.type) for name in ("since", "before"))
    return sa.select(sa.func.count()).where(*_of_topic(), events.c.received_at >= since, events.c.received_at < before)


@statement
def _count_looked_at() -> sa.Select[Any]:
    """How many events a wait has looked back over, ``most`` at most."""
    most = sa.bindparam("most", type_=sa.Integer)
    theirs = listeners.c.wait_id == sa.bindparam("wait_id", type_=ID)
    source = listeners.join(events, SAME_TOPIC)
    found = sa.select(events.c.id).select_from(source).where(theirs, events.c.received_at >= listeners.c.since_at)
    return sa.select(sa.func.count()).select_from(found.limit(most).subquery("found"))


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
