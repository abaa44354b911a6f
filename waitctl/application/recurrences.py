"""How recurrences go on: the next wait is made in the transaction in which the one before ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from waitctl.application.calendars.opening_rules import HostOpeningRules
from waitctl.application.contacts import in_its_zone
from waitctl.domain.errors import InvalidInputError
from waitctl.domain.instants import parse_instant
from waitctl.domain.intents import FixedTime, Rules, read_intent
from waitctl.domain.late import LATE_TOLERANCE
from waitctl.domain.recurrence import (
    CANCELLED,
    NUMBER,
    RECURRENCE,
    Recurrence,
    RecurrenceRule,
    RecurrenceStatus,
    next_occurrence,
)
from waitctl.domain.schedule import IntentResolver
from waitctl.domain.waits import Resolution, WaitStepExecution
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.store import completion, creation
from waitctl.infrastructure.store import recurrences as store
from waitctl.infrastructure.store.recurrences import Ended
from waitctl.infrastructure.zone_rules import tzdata_version

FINISHED, TAKEN = "its rule has ended", "its step has another open wait"


class Recurrences:
    """Makes the waits that come next, a batch at a time, and stops what comes no more.

    A recurrence has one open wait at a time, held by a unique index over open steps and by a key of recurrence and
    number, so that whoever is second finds nothing to do. What was missed is passed over: the next one is the first
    that is still to come. A cancelled wait ends its recurrence.
    """

    def __init__(self, database: Database, settings: Settings | None, *, actor: str) -> None:
        self._database = database
        self._actor = actor
        self._host_rules = HostOpeningRules(settings)
        self._tolerance = settings.late_tolerance if settings else LATE_TOLERANCE

    def go_on_due(self, connection: Connection, *, now: datetime) -> None:
        """Go on with every recurrence that is due and whose open wait has ended."""
        self._go_on(connection, store.take_ended(connection, now=now), now)

    def go_on_among(self, connection: Connection, wait_ids: Sequence[str], *, now: datetime) -> None:
        """Go on with those whose open wait is one of these, which have ended."""
        self._go_on(connection, store.take_ended_among(connection, wait_ids), now)

    def stop_by(self, connection: Connection, wait_ids: Sequence[str], *, now: datetime) -> None:
        """Stop those that one of these waits, which an event has ended, is there to stop."""
        stopped = store.stopped_by(connection, wait_ids)
        if stopped:
            self.end(connection, stopped, RecurrenceStatus.STOPPED, reason="stopped by an event", now=now)

    def end(
        self,
        connection: Connection,
        recurrences: Sequence[Recurrence],
        status: RecurrenceStatus,
        *,
        reason: str,
        now: datetime,
    ) -> None:
        """End open recurrences: their open waits are cancelled, and those that would stop them."""
        held = [each.wait_id for each in recurrences]
        if status is not RecurrenceStatus.PAUSED:
            held += [each.stop_wait_id for each in recurrences]
        store.end(connection, [each.id for each in recurrences], status, reason=reason, now=now)
        completion.end_waits(
            connection,
            [wait_id for wait_id in held if wait_id is not None],
            Resolution.CANCELLED,
            now=now,
            reason=self._database.dated(f"recurrence {status}: {reason}"),
            actor=self._actor,
        )

    def start(
        self, connection: Connection, recurrence: Recurrence, *, base: datetime, now: datetime
    ) -> WaitStepExecution | None:
        """The wait that comes next for one that has none open, counted from ``base``; not stored.

        ``None`` at the rule's end. Raises what resolving the rule raises.
        """
        return self._next(connection, recurrence, base=base, after=max(base, now), now=now)

    def insert(
        self, connection: Connection, found: Sequence[WaitStepExecution], *, reason: str, now: datetime
    ) -> set[str]:
        """Insert waits that come next. Returns the ids of those whose step and key were free."""
        if not found:
            return set()
        batch = creation.each_its_own(found)
        landed = creation.insert_waits(
            connection, batch, now=now, reason=self._database.dated(reason), actor=self._actor
        )
        return {wait.id for wait in found} if landed is None else landed

    def _go_on(self, connection: Connection, ended: Sequence[Ended], now: datetime) -> None:
        following: list[tuple[Recurrence, WaitStepExecution]] = []
        over: dict[tuple[RecurrenceStatus, str], list[Recurrence]] = {}
        for each in ended:
            recurrence = each.recurrence
            if each.resolution is Resolution.CANCELLED:
                over.setdefault((RecurrenceStatus.STOPPED, CANCELLED), []).append(recurrence)
                continue
            try:
                wait = self._after(connection, each, now)
            except InvalidInputError as error:  # a calendar that ends, a zone or a field that is no zone any more
                over.setdefault((RecurrenceStatus.STOPPED, error.message[:200]), []).append(recurrence)
                continue
            if wait is None:
                over.setdefault((RecurrenceStatus.FINISHED, FINISHED), []).append(recurrence)
            else:
                following.append((recurrence, wait))
        landed = self.insert(connection, [wait for _, wait in following], reason="created: it comes again", now=now)
        over_taken = [recurrence for recurrence, wait in following if wait.id not in landed]
        if over_taken:
            over.setdefault((RecurrenceStatus.STOPPED, TAKEN), []).extend(over_taken)
        if landed:
            store.go_on(connection, [pair for pair in following if pair[1].id in landed], now=now)
        for (status, why), recurrences in over.items():
            self.end(connection, recurrences, status, reason=why, now=now)

    def _after(self, connection: Connection, ended: Ended, now: datetime) -> WaitStepExecution | None:
        """The wait that comes after one: counted from when that was due, unless it ended late, or before its time."""
        on_time = timedelta() <= ended.resolved_at - ended.scheduled_at <= self._tolerance
        base = self._meant(ended) if on_time else ended.resolved_at
        after = max(now, ended.scheduled_at) if ended.resolution is not Resolution.MANUAL else now
        if RecurrenceRule.from_config(ended.recurrence.rule).every is None or ended.recurrence.rule.get("fixed"):
            after = max(now, ended.scheduled_at)  # by the rule: one that was resumed early is that one
        return self._next(connection, ended.recurrence, base=base, after=after, now=now)

    def _meant(self, ended: Ended) -> datetime:
        """When a wait was due before it was spread: what comes next is not to be spread from there again."""
        rules = Rules.from_config(ended.wait_config)
        if rules.spread is None or "duration" not in ended.wait_config:
            return ended.scheduled_at
        base = parse_instant(ended.wait_config["from"], "--from")
        resolver = IntentResolver(
            read_intent(ended.wait_config), ended.timezone, rules, self._host_rules.calendar(rules)
        )
        return min(resolver.resolve(base).at, ended.scheduled_at)

    def _next(
        self, connection: Connection, recurrence: Recurrence, *, base: datetime, after: datetime, now: datetime
    ) -> WaitStepExecution | None:
        rule, rules = RecurrenceRule.from_config(recurrence.rule), Rules.from_config(recurrence.rules)
        number = recurrence.occurrence + 1
        if rule.count is not None and number > rule.count:
            return None
        spec, calendar = in_its_zone(connection, recurrence.spec), self._host_rules.calendar(rules)
        found = next_occurrence(
            rule, spec.timezone, rules, calendar, anchor=recurrence.anchor_at, base=base, after=after
        )
        if found is None:
            return None
        spec = replace(spec, idempotency_key=f"recurrence:{recurrence.id}:{number}")
        wait, _ = WaitStepExecution.for_time(
            new_id(),
            spec,
            found.intent,
            now=now,
            rules=rules,
            calendar=calendar,
            base=found.base if isinstance(found.intent, FixedTime) else None,
            tzdata=tzdata_version(spec.timezone),
        )
        return replace(wait, wait_config=wait.wait_config | {RECURRENCE: recurrence.id, NUMBER: number})
