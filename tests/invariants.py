"""What holds in any database of waits after any commit, whatever raced, crashed or was killed."""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa

from waitctl.domain.statuses import (
    TRANSITIONS,
    DeliveryStatus,
    ListenerStatus,
    Resolution,
    WaitExecutionStatus,
    WaitType,
)
from waitctl.domain.waits import NUMBER, RECURRENCE
from waitctl.infrastructure.executor import Connection, Row
from waitctl.infrastructure.schema import deliveries, events, listeners, matches, recurrences, transitions, waits


def invariants(connection: Connection) -> None:
    """Assert them all."""
    heard, sent, audit, counted = (defaultdict(list) for _ in range(4))
    for row in connection.execute(sa.select(listeners)):
        heard[row.wait_id].append(row)
    for row in connection.execute(sa.select(deliveries)):
        sent[row.wait_id].append(row)
    for row in connection.execute(sa.select(transitions).order_by(transitions.c.wait_id, transitions.c.id)):
        audit[row.wait_id].append(row)
    for row in connection.execute(sa.select(matches)):
        counted[row.wait_id].append(row)
    stored = set(connection.execute(sa.select(events.c.id)).scalars())
    found = list(connection.execute(sa.select(waits)))
    for wait in found:
        assert wait.status.is_open == (wait.resolved_at is None) == (wait.resolution is None), wait
        if wait.resolution is not None:
            dead = any(delivery.status is DeliveryStatus.DEAD for delivery in sent[wait.id])
            assert wait.status is (WaitExecutionStatus.ERROR if dead else wait.resolution.status), wait
        _one_delivery(wait, sent[wait.id])
        _listeners_follow(wait, heard[wait.id], counted[wait.id], stored)
        _audit_is_continuous(wait, audit[wait.id])
    known = {wait.id for wait in found}
    _recurrences_go_on(connection, {wait.id: wait for wait in found})
    for kind in (heard, sent, audit, counted):
        assert set(kind) <= known, "rows of a wait that is not there"


def _recurrences_go_on(connection: Connection, found: dict[str, Row]) -> None:
    """An active recurrence has one open wait, its last; and its waits are numbered without a gap or a repetition."""
    of = defaultdict(list)
    for wait in found.values():
        if RECURRENCE in wait.wait_config:
            of[wait.wait_config[RECURRENCE]].append(wait)
    for row in connection.execute(sa.select(recurrences)):
        made = sorted(of.pop(row.id, []), key=lambda wait: int(wait.wait_config[NUMBER]))
        assert [wait.wait_config[NUMBER] for wait in made] == list(range(1, row.occurrence + 1)), row
        opened = [wait.id for wait in made if wait.status.is_open]
        assert opened == ([row.wait_id] if row.status == "active" else []), row
        if row.status == "active":
            assert found[row.wait_id].scheduled_at == row.next_at, row
    assert not of, "waits of a recurrence that is not there"


def _one_delivery(wait: Row, sent: list[Row]) -> None:
    due = wait.handler is not None and wait.resolution not in {None, Resolution.CANCELLED}
    assert len(sent) == due, f"{len(sent)} deliveries: {wait}"
    for delivery in sent:
        assert (delivery.outcome, delivery.handler) == (wait.resolution, wait.handler), delivery
        assert delivery.attempt >= (delivery.status is DeliveryStatus.DELIVERED), delivery
        assert (delivery.status is DeliveryStatus.RUNNING) == (delivery.lease_expires_at is not None), delivery


def _listeners_follow(wait: Row, heard: list[Row], counted: list[Row], stored: set[str]) -> None:
    assert bool(heard) == (wait.wait_type is WaitType.FOR_EVENT), wait
    active = [listener for listener in heard if listener.status is ListenerStatus.ACTIVE]
    matched = [listener for listener in heard if listener.status is ListenerStatus.MATCHED]
    assert bool(active) == (wait.status is WaitExecutionStatus.WAITING), f"{len(active)} active listeners: {wait}"
    by_event = wait.resolution is Resolution.EVENT or (wait.resolution is None and wait.scheduled_at is not None)
    by_event = by_event and wait.wait_type is WaitType.FOR_EVENT
    if not any(listener.group_no for listener in heard):
        assert len(matched) == by_event, f"{len(matched)} matched listeners: {wait}"
        assert not counted, wait
    else:
        _groups_follow(wait, heard, counted, complete=by_event)
    assert (wait.resolution_event_id is not None) == by_event, wait
    if by_event:
        assert wait.resolution_event_id in {listener.matched_event_id for listener in matched}, wait
    for listener in matched:
        assert listener.matched_event_id in stored, listener


def _groups_follow(wait: Row, heard: list[Row], counted: list[Row], *, complete: bool) -> None:
    groups = {listener.group_no: listener.needed for listener in heard}
    numbers = {group: sum(row.group_no == group for row in counted) for group in groups}
    assert all(numbers[group] <= needed for group, needed in groups.items()), f"counted too many: {wait}"
    assert complete or wait.resolution is not None or any(numbers[group] < groups[group] for group in groups), (
        f"complete, and still waits: {wait}"
    )
    assert not complete or numbers == groups, f"ended by an event and not complete: {wait}"
    for listener in heard:
        own = {row.event_id for row in counted if row.listener_id == listener.id}
        satisfied = numbers[listener.group_no] == groups[listener.group_no]
        assert (listener.status is ListenerStatus.MATCHED) == (satisfied and bool(own)), listener
        assert listener.matched_event_id is None or listener.matched_event_id in own, listener


def _audit_is_continuous(wait: Row, trail: list[Row]) -> None:
    status = None
    for line in trail:
        assert line.from_status == status, f"{line} follows {status}"
        moved = status == line.to_status and line.to_status.is_open
        assert moved or line.to_status in TRANSITIONS[status], line
        status = line.to_status
    assert status == wait.status, f"the trail ends in {status}: {wait}"
