"""From what is asked for to the wait that is there: one at a time, in a transaction of its own or another's."""

from __future__ import annotations

from datetime import datetime

from waitctl.application.calendars.opening_rules import HostOpeningRules, with_zone_rules
from waitctl.application.coming_again import ComingAgain
from waitctl.application.contacts import in_its_zone, in_its_zone_or_ask
from waitctl.application.inline_commands import InlineCommands
from waitctl.application.waits.explaining import explain_event_wait
from waitctl.application.waits.idempotency import find_existing, find_pruned, may_replace, same_wait
from waitctl.application.waits.requests import WaitRequest
from waitctl.application.waits.results import WaitCreateResult
from waitctl.domain.errors import InvalidTimeoutError, InvalidWaitDateError, WaitAlreadyOpenError
from waitctl.domain.events import EventType, check_registered
from waitctl.domain.instants import format_instant
from waitctl.domain.intents import Past, UntilDate
from waitctl.domain.late import late_policy
from waitctl.domain.listeners import EventQuery
from waitctl.domain.opening_rules import OpeningRules
from waitctl.domain.schedule import Schedule
from waitctl.domain.statuses import Resolution
from waitctl.domain.values import replace
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Caller, Connection, Database, host_clock
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.store import completion
from waitctl.infrastructure.store import waits as store
from waitctl.infrastructure.store.correlation.verdicts import Verdicts, write_within_budget
from waitctl.infrastructure.zone_rules import tzdata_version


class WaitCreator:
    """Creates waits in a database. Each method says what it needs of a transaction."""

    def __init__(self, database: Database, settings: Settings, *, actor: str) -> None:
        self.database = database
        self.actor = actor
        self._inline = InlineCommands(settings, database)
        self._host_rules = HostOpeningRules(settings)
        self._settings = settings

    def create(
        self, request: WaitRequest, *, dry_run: bool = False, connection: Caller | None = None
    ) -> WaitCreateResult:
        """Create the wait in a transaction of its own, or as part of the caller's; or say what it would be.

        Raises what `WaitRequest.checked`, `draft` and `InlineCommands.checked` raise, `InvalidEventTypeError`,
        `UnsafeConnectionError`, `WaitAlreadyOpenError` or `IdempotencyKeyConflictError`.
        """
        request = self.checked(request, dry_run=dry_run)
        if dry_run:
            return self.explain(request)

        def work(connection_: Connection, verdicts: Verdicts) -> WaitCreateResult:
            if connection is not None and request.buckets:
                self.database.require_safe(connection_)
            now = self.database.lock_topics(connection_, request.buckets, exclusive=True)
            return self.create_at(connection_, request, verdicts, now)

        return write_within_budget(self.database, work, connection)

    def checked(self, request: WaitRequest, *, dry_run: bool = False) -> WaitRequest:
        """The request, once it may be stored; see `create` for what it raises."""
        checked = request.checked()
        if isinstance(checked.asked, EventQuery):
            self._host_rules.calendars_of(checked.asked)
        self._host_rules.calendar(checked.rules)  # one that is not known is said before a database is made
        self._inline.checked(checked.spec, dry_run=dry_run)
        return checked

    def explain(self, request: WaitRequest) -> WaitCreateResult:
        """What it would come to now, and why; without making a database that is not there."""
        now, registered = self._now_and_types()
        if isinstance(request.asked, EventQuery):
            check_types(request.asked, registered)
        wait, schedule = self.draft(request._replace(spec=in_its_zone_or_ask(self.database, request.spec)), now)
        explained = () if schedule is None else schedule.explanation
        if isinstance(request.asked, EventQuery):
            explained = explain_event_wait(request.asked, wait, schedule)
        return WaitCreateResult(wait, created=False, explanation=explained)

    def _now_and_types(self) -> tuple[datetime, set[str]]:
        if self.database.path is not None and not self.database.path.exists():
            return self.database.as_of or host_clock(), {member.value for member in EventType}
        from waitctl.infrastructure.store import events as event_store

        with self.database.read() as connection:
            return self.database.clock(connection), event_store.registered_types(connection)

    # -- what it would be -----------------------------------------------------------------------------------------

    def draft(
        self, request: WaitRequest, now: datetime, wait_id: str | None = None
    ) -> tuple[WaitStepExecution, Schedule | None]:
        """The wait as it would be at ``now``, and how its instant or its deadline came about.

        ``request`` is in the zone that it goes by.

        Raises `UnknownCalendarError`, `CalendarRangeError`, `NoOpeningError`, `InvalidWaitDateError`,
        `InvalidWaitTimeError`, `InvalidTimeoutError` or `InvalidWaitConfigurationError`.
        """
        if isinstance(request.asked, EventQuery):
            wait, deadline = self._draft_event_wait(request.asked, request, now, wait_id or new_id())
            if request.asked.until is not None and deadline is not None and deadline.before_spread <= now:
                raise InvalidTimeoutError(f"the deadline has passed: --until {format_instant(deadline.before_spread)}")
            return wait, deadline
        return WaitStepExecution.for_time(
            wait_id or new_id(),
            request.spec,
            request.asked,
            now=now,
            rules=request.rules,
            calendar=self._host_rules.calendar(request.rules),
            base=request.base,
            tzdata=tzdata_version(request.spec.timezone),
        )

    def _draft_event_wait(
        self, query: EventQuery, request: WaitRequest, now: datetime, wait_id: str
    ) -> tuple[WaitStepExecution, Schedule | None]:
        spec, base = request.spec, request.base
        contact, (calendar, counted_by) = spec.contact_id, self._host_rules.calendars_of(query)
        assert contact is not None
        opening_rules = OpeningRules(spec.timezone, query.rules, calendar)
        opening_rules.next_opening(now)  # a window that never opens is refused here
        deadline = query.deadline(base or now, spec.timezone, calendar, counted_by, wait_id=wait_id)
        timeout_at = deadline.at if deadline else None
        config = query.to_config() | ({"from": format_instant(base)} if base else {})
        if deadline or opening_rules:
            config = with_zone_rules(config, spec.timezone)
        wait = WaitStepExecution.for_event(
            wait_id,
            spec,
            query.listeners([new_id() for _ in query.types], contact, now=now, timeout_at=timeout_at),
            config,
            now=now,
            timeout_at=timeout_at,
            late=late_policy(query.rules, opening_rules),
        )
        return wait, deadline

    # -- in a transaction -----------------------------------------------------------------------------------------

    def create_at(
        self, connection: Connection, request: WaitRequest, verdicts: Verdicts, now: datetime
    ) -> WaitCreateResult:
        """Create what was `checked` at ``now``; the locks of its topics must be held. Raises as `create` does."""
        request = request._replace(spec=in_its_zone(connection, request.spec))
        try:
            if isinstance(request.asked, EventQuery):
                return self._create_event_wait(connection, request.asked, request, verdicts, now)
            wait, schedule = self.draft(request, now)
        except (InvalidTimeoutError, InvalidWaitDateError):
            if (found := self._find_passed(connection, request, now)) is None:
                raise
            return found
        return self._insert(connection, wait, schedule.explanation if schedule else (), request.replace_open)

    def _find_passed(self, connection: Connection, request: WaitRequest, now: datetime) -> WaitCreateResult | None:
        """What the same request has created before its date had passed; ``None`` when there is nothing like it."""
        intent = request.asked
        if isinstance(intent, EventQuery):
            if intent.until is None:
                return None
            asked, schedule = self._draft_event_wait(intent, request, now, new_id())
        elif isinstance(intent, UntilDate) and intent.past is Past.REJECT:
            late, schedule = self.draft(request._replace(asked=replace(intent, past=Past.FIRE)), now)
            asked = replace(late, wait_config={**late.wait_config, "past": intent.past.value})
        else:
            return None
        existing = find_pruned(connection, asked) or find_existing(connection, asked)
        if existing is None or existing.fingerprint != asked.fingerprint:
            return None
        return WaitCreateResult(existing, created=False, explanation=schedule.explanation if schedule else ())

    def _create_event_wait(
        self, connection: Connection, query: EventQuery, request: WaitRequest, verdicts: Verdicts, now: datetime
    ) -> WaitCreateResult:
        from waitctl.application.inbox import Inbox
        from waitctl.infrastructure.store import events as event_store
        from waitctl.infrastructure.store.correlation import matching

        registered = event_store.registered_types(connection)
        check_types(query, registered)
        wait, _ = self.draft(request, now)
        result = self._insert(connection, wait, (), request.replace_open)
        if not result.created:
            return result
        assert wait.contact_id is not None
        inbox = Inbox(self._settings)
        inbox.admit_of_topics(connection, query.types, wait.contact_id, registered=registered, now=now)
        found = matching.correlate_wait(
            connection,
            wait.id,
            self._host_rules.for_event,
            verdicts,
            now=now,
            reason=self.database.dated("event "),
            actor=self.actor,
        )
        if not found:
            return result
        now_there = store.get_wait(connection, wait.id)
        assert now_there is not None
        return replace(result, wait=now_there)

    def _insert(
        self, connection: Connection, wait: WaitStepExecution, explanation: tuple[str, ...], replace_open: bool
    ) -> WaitCreateResult:
        """Insert ``wait``, or return the same one that is there already."""
        signature = self._inline.sign(wait)
        for _ in range(10):
            looks = wait.idempotency_key is not None or replace_open
            existing = find_existing(connection, wait) if looks else None
            if existing is None or existing.idempotency_key != wait.idempotency_key:
                # In this order: what is pruned between the two looks is seen by the second.
                pruned = find_pruned(connection, wait)
                if pruned is not None:
                    return WaitCreateResult(pruned, created=False, explanation=explanation)
            if existing is not None:
                if not (replace_open and may_replace(existing, wait)):
                    return same_wait(existing, wait, explanation)
                self._replace(connection, existing, now=wait.created_at)
            if store.insert_wait(
                connection, wait, reason=self.database.dated("created"), actor=self.actor, signature=signature
            ):
                return WaitCreateResult(wait, created=True, explanation=explanation)
            existing = find_existing(connection, wait)
            if existing is not None and not replace_open:
                return same_wait(existing, wait, explanation)
            # It ended between our insert and our look: try again.
        raise WaitAlreadyOpenError("the step's wait keeps changing under this create", hint="run it again")

    def _replace(self, connection: Connection, existing: WaitStepExecution, *, now: datetime) -> None:
        completion.end_waits(
            connection,
            [existing.id],
            Resolution.CANCELLED,
            now=now,
            reason=self.database.dated("replaced"),
            actor=self.actor,
        )
        coming_again = ComingAgain(self.database, self._settings, actor=self.actor)
        coming_again.go_on_among(connection, [existing.id], now=now)


def check_types(query: EventQuery, registered: set[str]) -> None:
    """Raise `InvalidEventTypeError` unless every type that it listens to is registered."""
    for name in query.types:
        check_registered(name, registered)
