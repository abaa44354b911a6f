"""How recurrences go on: the next wait is made in the transaction in which the one before ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from waitctl.application.calendars.opening_rules import HostOpeningRules
from waitctl.application.contacts import in_its_zone, zone_asked_for
from waitctl.domain.contacts import TZ_CONTACT, TZ_FIELD
from waitctl.domain.errors import InvalidInputError
from waitctl.domain.instants import parse_instant
from waitctl.domain.intents import Rules, read_intent
from waitctl.domain.late import LATE_TOLERANCE
from waitctl.domain.occurrences import Common, NextWait, Occurrences, Terms, in_common, next_wait
from waitctl.domain.recurrence import CANCELLED, Recurrence, RecurrenceRule, RecurrenceStatus
from waitctl.domain.schedule import IntentResolver
from waitctl.domain.statuses import Resolution
from waitctl.domain.text import JsonObject, from_json, to_json
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.store import completion
from waitctl.infrastructure.store import recurrences as store
from waitctl.infrastructure.store.contacts import zones_of
from waitctl.infrastructure.zone_rules import tzdata_version

if TYPE_CHECKING:
    from waitctl.infrastructure.config import Settings
    from waitctl.infrastructure.database import Connection, Database
    from waitctl.infrastructure.store.recurrences import EndedOccurrence

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

    def stop(self, connection: Connection, recurrences: Sequence[Recurrence], *, reason: str, now: datetime) -> None:
        """Stop open recurrences."""
        self.end(connection, recurrences, RecurrenceStatus.STOPPED, reason=reason, now=now)

    def end(
        self,
        connection: Connection,
        recurrences: Sequence[Recurrence | EndedOccurrence],
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
    ) -> NextWait | None:
        """The wait that comes next for one that has none open, counted from ``base``; not stored.

        ``None`` at the rule's end. Raises what resolving the rule raises.
        """
        terms = Terms(
            *(recurrence.id, to_json(recurrence.rule), to_json(recurrence.rules)),
            in_its_zone(connection, recurrence.spec).timezone,
            *(recurrence.occurrence, recurrence.anchor_at),
        )
        return Following(self._host_rules, self._tolerance).next(terms, base=base, after=max(base, now))

    def insert(self, connection: Connection, following: Sequence[NextWait], *, reason: str, now: datetime) -> set[str]:
        """Insert waits that come next, of recurrences that are stored.

        Returns the ids of the recurrences whose step has another open wait.
        """
        if not following:
            return set()
        return store.go_on(connection, following, now=now, reason=self._database.dated(reason), actor=self._actor)

    def go_on(self, connection: Connection, ended: Sequence[EndedOccurrence], now: datetime) -> None:
        """Go on with recurrences whose open wait has ended, or end them."""
        over: defaultdict[tuple[RecurrenceStatus, str], list[EndedOccurrence]] = defaultdict(list)
        coming: list[NextWait] = []
        following, zones = Following(self._host_rules, self._tolerance), _zones_of_contacts(connection, ended)
        for each in ended:
            if each.resolution is Resolution.CANCELLED:
                over[RecurrenceStatus.STOPPED, CANCELLED].append(each)
                continue
            try:
                wait = following.after(each, zones, now)
            except InvalidInputError as error:  # a calendar that ends, a zone or a field that is no zone any more
                over[RecurrenceStatus.STOPPED, error.message[:200]].append(each)
                continue
            if wait is None:
                over[RecurrenceStatus.FINISHED, FINISHED].append(each)
            else:
                coming.append(wait)
        if taken := self.insert(connection, coming, reason="created: it comes again", now=now):
            over[RecurrenceStatus.STOPPED, TAKEN] += [each for each in ended if each.id in taken]
        for (status, why), recurrences in over.items():
            self.end(connection, recurrences, status, reason=why, now=now)


class Following:
    """Finds the waits that come next, for a batch: what many recurrences have in common is worked out once."""

    def __init__(self, host_rules: HostOpeningRules, tolerance: timedelta) -> None:
        self._host_rules, self._tolerance = host_rules, tolerance
        self._known: dict[tuple[str, str, str], Occurrences] = {}
        self._common: dict[IntentResolver, Common] = {}  # each has one for every intent

    def after(self, ended: EndedOccurrence, zones: Mapping[str, str], now: datetime) -> NextWait | None:
        """The wait that comes after one: counted from when that was due, unless it ended late, or before its time.

        ``zones`` are those of contacts. Raises `InvalidInputError` when nothing can be made of the rule any more.
        """
        rule, kept, rules = _read(ended.terms.rule, ended.terms.rules)
        on_time = timedelta() <= ended.resolved_at - ended.scheduled_at <= self._tolerance
        base = self._meant(ended, rules) if on_time else ended.resolved_at
        by_the_rule = rule.every is None or rule.fixed  # then one that was resumed early is that one
        is_early = ended.resolution is Resolution.MANUAL and not by_the_rule
        terms = ended.terms
        if TZ_FIELD in kept or TZ_CONTACT in kept:
            context = None if ended.context is None else from_json(ended.context)
            zone = zone_asked_for(kept, context, ended.contact_id, zones.get)
            terms = terms._replace(timezone=zone or terms.timezone)
        return self.next(terms, base=base, after=now if is_early else max(now, ended.scheduled_at))

    def next(self, terms: Terms, *, base: datetime, after: datetime) -> NextWait | None:
        """The wait that comes next, counted from ``base``; ``None`` at the rule's end."""
        rule, kept, rules = _read(terms.rule, terms.rules)
        if rule.count is not None and terms.occurrence >= rule.count:
            return None
        key = (terms.rule, terms.rules, terms.timezone)
        if key not in self._known:
            self._known[key] = Occurrences(rule, terms.timezone, rules, self._host_rules.calendar(rules))
        found = self._known[key].next(anchor=terms.anchor_at, base=base, after=after)
        if found is None:
            return None
        if (common := self._common.get(found.resolver)) is None:
            common = in_common(found, rules, kept, tzdata=tzdata_version(terms.timezone))
            self._common[found.resolver] = common
        return next_wait(new_id(), terms, found, common)

    def _meant(self, ended: EndedOccurrence, rules: Rules) -> datetime:
        """When a wait was due before it was spread: what comes next is not to be spread from there again."""
        config = from_json(ended.wait_config) if rules.spread is not None else {}
        if "duration" not in config:
            return ended.scheduled_at
        rules = Rules.from_config(config)
        base = parse_instant(config["from"], "--from")
        resolver = IntentResolver(read_intent(config), ended.timezone, rules, self._host_rules.calendar(rules))
        return min(resolver.resolve(base).at, ended.scheduled_at)


@lru_cache(1024)
def _read(rule: str, rules: str) -> tuple[RecurrenceRule, JsonObject, Rules]:
    """A rule, and the rules of its instants as they are kept and as they are read."""
    kept = from_json(rules)
    return RecurrenceRule.from_config(from_json(rule)), kept, Rules.from_config(kept)


def _zones_of_contacts(connection: Connection, ended: Sequence[EndedOccurrence]) -> Mapping[str, str]:
    contacts = {each.contact_id for each in ended if each.contact_id and TZ_CONTACT in each.terms.rules}
    return zones_of(connection, sorted(contacts)) if contacts else {}
