"""Create, inspect, cancel and resume waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta

from waitctl.application.calendars.opening_rules import HostOpeningRules, with_zone_rules
from waitctl.application.id_lookup import WAIT, find_cursor, find_id, get_by_id
from waitctl.application.inbox import Inbox
from waitctl.application.inline_commands import InlineCommands
from waitctl.application.waits.explaining import explain_event_wait
from waitctl.application.waits.idempotency import find_existing, find_pruned, may_replace, same_wait
from waitctl.application.waits.results import PendingWaitsSummary, WaitCreateResult, WaitStatus
from waitctl.domain.durations import Duration, duration_text
from waitctl.domain.errors import (
    InvalidWaitConfigurationError,
    InvalidWaitDateError,
    WaitAlreadyOpenError,
    WaitExecutionNotFoundError,
)
from waitctl.domain.events import EventType, check_registered
from waitctl.domain.filters import NEWEST_FIRST, SortKey, WaitFilter, WaitOrder
from waitctl.domain.instants import format_instant
from waitctl.domain.intents import (
    Intent,
    Past,
    Roll,
    Rules,
    UntilDate,
    date_in_context,
    date_text,
    parse_fixed_time,
    parse_until_date,
    parse_until_time,
)
from waitctl.domain.late import late_policy
from waitctl.domain.listeners import EventQuery, topic_bucket
from waitctl.domain.opening_rules import OpeningRules
from waitctl.domain.schedule import Schedule
from waitctl.domain.text import JsonObject, check_json_object, check_reason, check_text
from waitctl.domain.waits import Resolution, WaitExecutionStatus, WaitSpec, WaitStepExecution
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database, host_clock
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.store import completion
from waitctl.infrastructure.store import events as event_store
from waitctl.infrastructure.store import filters as filtered
from waitctl.infrastructure.store import waits as store
from waitctl.infrastructure.store.correlation import matching
from waitctl.infrastructure.store.correlation.verdicts import Verdicts, write_within_budget
from waitctl.infrastructure.store.waits import Transition
from waitctl.infrastructure.zone_rules import tzdata_version


class WaitSchedulingService:
    """Durable waits in a database.

    Every call opens its own transaction, or takes part in the caller's when it is given a ``connection`` (SQLAlchemy
    Core, on the same database; READ COMMITTED on PostgreSQL), so that a wait can be created together with the
    caller's own rows. ``actor`` is who the audit trail names; ``settings`` say which calendars there are beside those
    of countries and stock exchanges.
    """

    def __init__(self, database: Database | str, *, actor: str = "api", settings: Settings | None = None) -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._actor = actor
        self._settings = settings or Settings(self._database.resolved_url)
        self._inline = InlineCommands(self._settings, self._database)
        self._host_rules = HostOpeningRules(settings)
        self._inbox = Inbox(settings)

    # -- create ---------------------------------------------------------------------------------------------------

    def create_fixed_time_wait(
        self,
        duration: Duration | timedelta | str,
        spec: WaitSpec,
        *,
        at: time | str | None = None,
        rules: Rules = Rules(),
        base: datetime | None = None,
        replace_open: bool = False,
        dry_run: bool = False,
        connection: Connection | None = None,
    ) -> WaitCreateResult:
        """Wait for a span of elapsed time, as in ``"3d"`` or a `timedelta`, or for business days, as in ``"3bd"``.

        ``at`` is a time of day, and makes the duration local calendar days; so does a calendar in ``rules``, which say
        what the instant must obey. ``base`` is the instant to count from instead of now; ``replace_open`` cancels
        another open wait of the step first.

        Raises `InvalidWaitDurationError`, `InvalidWaitTimeError`, `InvalidWaitConfigurationError`,
        `UnknownCalendarError`, `CalendarRangeError`, `NoOpeningError`, `WaitAlreadyOpenError` or
        `IdempotencyKeyConflictError`.
        """
        may_be_zero = rules.window is not None or rules.calendar is not None
        clock = None if at is None else str(at)
        intent = parse_fixed_time(duration_text(duration), clock, zero=may_be_zero)
        return self._create_time_wait(intent, spec, rules, base, replace_open, dry_run, connection)

    def create_until_date_wait(
        self,
        date: date | str | None,
        spec: WaitSpec,
        *,
        offset: timedelta | str | None = None,
        field: str | None = None,
        roll: str = Roll.BACK,
        rules: Rules = Rules(),
        base: datetime | None = None,
        past: str = Past.REJECT,
        replace_open: bool = False,
        dry_run: bool = False,
        connection: Connection | None = None,
    ) -> WaitCreateResult:
        """Wait until an instant, or until a local date and time in the wait's zone.

        Instead of a ``date``, ``field`` says where it stands in the context; ``offset`` (``"-2d"``) goes back or on
        from it. What lies before a date and may not go on then goes back to the latest opening, or on to the next one
        with ``roll="forward"``, never past the date. ``past="fire"`` makes a date before the base due at once instead
        of raising `InvalidWaitDateError`, ``"next"`` takes the next opening, or the next day that passes.
        For the rest see `create_fixed_time_wait`.
        """
        if (date is None) == (field is None):
            raise InvalidWaitDateError("name either a date or the field of the context that holds it")
        asked = date_text(date or "") if field is None else date_in_context(spec.context, field)
        distance = None if offset is None else duration_text(offset)
        intent = parse_until_date(asked, distance, field, roll=roll, past=past)
        return self._create_time_wait(intent, spec, rules, base, replace_open, dry_run, connection)

    def create_until_time_wait(
        self,
        time: time | str,
        spec: WaitSpec,
        *,
        days: str | None = None,
        rules: Rules = Rules(),
        base: datetime | None = None,
        replace_open: bool = False,
        dry_run: bool = False,
        connection: Connection | None = None,
    ) -> WaitCreateResult:
        """Wait until clocks in the wait's zone next show ``time`` (``"09:00"``), strictly after now.

        ``days`` are weekdays (``"mon-fri"``). Raises `InvalidWaitTimeError`. For the rest see
        `create_fixed_time_wait`.
        """
        intent = parse_until_time(str(time), days)
        return self._create_time_wait(intent, spec, rules, base, replace_open, dry_run, connection)

    def create_event_wait(
        self,
        query: EventQuery,
        spec: WaitSpec,
        *,
        base: datetime | None = None,
        replace_open: bool = False,
        dry_run: bool = False,
        connection: Connection | None = None,
    ) -> WaitCreateResult:
        """Wait for an event of the contact, or for the query's timeout, whichever comes first.

        An event received up to the query's lookback before now still counts, and then the wait that is returned has
        already ended. ``base`` is what the timeout counts from. Raises `InvalidEventTypeError` for a type that is not
        registered, `UnsafeConnectionError` for a caller's transaction that could lose a wake-up,
        `InvalidWaitConfigurationError` without a contact; for the rest see `create_fixed_time_wait`.
        """
        query = query.checked()
        spec = self._inline.checked(spec.checked(), dry_run=dry_run)
        _check_aware(base)
        contact = spec.contact_id
        if contact is None:
            raise InvalidWaitConfigurationError("an event wait needs a contact", hint="--contact ID")
        buckets = [topic_bucket(event_type, contact) for event_type in query.types]
        if dry_run:
            now, registered = self._now_and_types()
            _check_registered(query.types, registered)
            wait, deadline = self._draft_event_wait(query, spec, base, now)
            return WaitCreateResult(wait, created=False, explanation=explain_event_wait(query, wait, deadline))

        def work(connection_: Connection, verdicts: Verdicts) -> WaitCreateResult:
            if connection is not None:
                self._database.require_safe(connection_)
            now = self._database.lock_topics(connection_, buckets, exclusive=True)
            registered = event_store.registered_types(connection_)
            _check_registered(query.types, registered)
            wait, _ = self._draft_event_wait(query, spec, base, now)
            result = self._insert(connection_, wait, (), replace_open)
            if not result.created:
                return result
            self._inbox.admit_of_topics(connection_, query.types, contact, registered=registered, now=now)
            found = matching.correlate_wait(
                connection_,
                wait.id,
                self._host_rules.for_event,
                verdicts,
                now=now,
                reason=self._database.dated("event "),
                actor=self._actor,
            )
            return replace(result, wait=self._get(connection_, wait.id)) if found else result

        return write_within_budget(self._database, work, connection)

    def _draft_event_wait(
        self, query: EventQuery, spec: WaitSpec, base: datetime | None, now: datetime
    ) -> tuple[WaitStepExecution, Schedule | None]:
        """The wait as it would be at ``now``, and how its deadline came about."""
        contact, calendar = spec.contact_id, self._host_rules.calendar(query.rules)
        assert contact is not None
        opening_rules = OpeningRules(spec.timezone, query.rules, calendar)
        opening_rules.next_opening(now)  # a window that never opens is refused here
        deadline = query.deadline(base or now, spec.timezone, calendar)
        timeout_at = deadline.at if deadline else None
        config = query.to_config() | ({"from": format_instant(base)} if base else {})
        if deadline or opening_rules:
            config = with_zone_rules(config, spec.timezone)
        wait = WaitStepExecution.for_event(
            new_id(),
            spec,
            query.listeners([new_id() for _ in query.types], contact, now=now, timeout_at=timeout_at),
            config,
            now=now,
            timeout_at=timeout_at,
            late=late_policy(query.rules, opening_rules),
        )
        return wait, deadline

    def _create_time_wait(
        self,
        intent: Intent,
        spec: WaitSpec,
        rules: Rules,
        base: datetime | None,
        replace_open: bool,
        dry_run: bool,
        connection: Connection | None,
    ) -> WaitCreateResult:
        spec = self._inline.checked(spec.checked(), dry_run=dry_run)
        tzdata, calendar = tzdata_version(spec.timezone), self._host_rules.calendar(rules)
        _check_aware(base)

        def draft(now: datetime, intent: Intent) -> tuple[WaitStepExecution, Schedule]:
            return WaitStepExecution.for_time(
                new_id(), spec, intent, now=now, rules=rules, calendar=calendar, base=base, tzdata=tzdata
            )

        if dry_run:
            wait, schedule = draft(self._now_and_types()[0], intent)
            return WaitCreateResult(wait, created=False, explanation=schedule.explanation)

        def work(connection_: Connection) -> WaitCreateResult:
            now = self._database.clock(connection_)
            try:
                wait, schedule = draft(now, intent)
            except InvalidWaitDateError:
                # The same command run again after its date has passed finds the wait that it made.
                if not isinstance(intent, UntilDate) or intent.past is not Past.REJECT:
                    raise
                late, schedule = draft(now, replace(intent, past=Past.FIRE))
                asked = replace(late, wait_config={**late.wait_config, "past": intent.past.value})
                existing = find_pruned(connection_, asked) or find_existing(connection_, asked)
                if existing is None or existing.fingerprint != asked.fingerprint:
                    raise
                return WaitCreateResult(existing, created=False, explanation=schedule.explanation)
            return self._insert(connection_, wait, schedule.explanation, replace_open)

        return self._database.write(work, connection)

    def _insert(
        self, connection: Connection, wait: WaitStepExecution, explanation: tuple[str, ...], replace_open: bool
    ) -> WaitCreateResult:
        """Insert ``wait``, or return the same one that is there already."""
        signature = self._inline.sign(wait)
        for _ in range(10):
            pruned = find_pruned(connection, wait)
            if pruned is not None:
                return WaitCreateResult(pruned, created=False, explanation=explanation)
            if wait.idempotency_key is not None or replace_open:
                existing = find_existing(connection, wait)
                if existing is not None and not (replace_open and may_replace(existing, wait)):
                    return same_wait(existing, wait, explanation)
                if existing is not None:
                    self._end(connection, [existing.id], Resolution.CANCELLED, "replaced", now=wait.created_at)
            if store.insert_wait(
                connection,
                wait,
                reason=self._database.dated("created"),
                actor=self._actor,
                signature=signature,
            ):
                return WaitCreateResult(wait, created=True, explanation=explanation)
            existing = find_existing(connection, wait)
            if existing is not None and not replace_open:
                return same_wait(existing, wait, explanation)
            # It ended between our insert and our look: try again.
        raise WaitAlreadyOpenError("the step's wait keeps changing under this create", hint="run it again")

    def _now_and_types(self) -> tuple[datetime, set[str]]:
        """The clock and the event types, without making a database that is not there."""
        if self._database.path is not None and not self._database.path.exists():
            return self._database.as_of or host_clock(), {member.value for member in EventType}
        with self._database.read() as connection:
            return self._database.clock(connection), event_store.registered_types(connection)

    # -- inspect --------------------------------------------------------------------------------------------------

    def find_wait_id(self, text: str, connection: Connection | None = None) -> str:
        """The full id for an id, or for a head or tail of one of at least 8 hexadecimal digits.

        Raises `InvalidWaitConfigurationError`, `WaitExecutionNotFoundError` or `AmbiguousIdError` (naming up to 10).
        """
        with self._database.read(connection) as connection_:
            return find_id(connection_, WAIT, text)

    def get_wait_status(self, wait_id: str, connection: Connection | None = None) -> WaitStatus:
        """A wait with its listeners and deliveries. Takes what `find_wait_id` takes, and raises what it raises."""
        with self._database.read(connection) as connection_:
            wait = get_by_id(connection_, WAIT, wait_id, store.get_wait)
            return WaitStatus(wait, self._database.clock(connection_))

    def get_step_status(self, execution_id: str, step_id: str, connection: Connection | None = None) -> WaitStatus:
        """The latest wait of a step. Raises `WaitExecutionNotFoundError`."""
        check_text(execution_id, "the execution")
        check_text(step_id, "the step")
        with self._database.read(connection) as connection_:
            found = store.waits_of_execution(connection_, execution_id, step_id)
            if not found:
                raise WaitExecutionNotFoundError(f"no wait of execution {execution_id!r}, step {step_id!r}")
            return WaitStatus(found[-1], self._database.clock(connection_))

    def get_execution_status(self, execution_id: str, connection: Connection | None = None) -> list[WaitStatus]:
        """Every wait of an execution, oldest first. Raises `WaitExecutionNotFoundError` when there is none."""
        check_text(execution_id, "the execution")
        with self._database.read(connection) as connection_:
            now = self._database.clock(connection_)
            found = store.waits_of_execution(connection_, execution_id)
        if not found:
            raise WaitExecutionNotFoundError(f"no wait of execution {execution_id!r}")
        return [WaitStatus(wait, now) for wait in found]

    def list_waits(
        self,
        wanted: WaitFilter | None = None,
        *,
        limit: int = 50,
        after: str | None = None,
        order: WaitOrder = NEWEST_FIRST,
        connection: Connection | None = None,
    ) -> tuple[list[WaitStatus], str | None]:
        """Waits in an order, newest first, and the id to pass as ``after`` for the next page (``None`` on the last)."""
        wanted = (wanted or WaitFilter()).checked()
        find_place = find_cursor if order.key is SortKey.CREATED else find_id
        with self._database.read(connection) as connection_:
            last = find_place(connection_, WAIT, after) if after else None
            now = self._database.clock(connection_)
            found = filtered.list_waits(connection_, wanted, now=now, limit=limit + 1, after=last, order=order)
        page = [WaitStatus(wait, now) for wait in found[:limit]]
        return page, page[-1].wait.id if len(found) > limit else None

    def list_pending_waits(
        self,
        wanted: WaitFilter | None = None,
        *,
        handlers: Sequence[str] = (),
        connection: Connection | None = None,
    ) -> PendingWaitsSummary:
        """Count what is open, of the waits that are meant. The deliveries are counted whatever wait they are of.

        ``handlers`` are those that this host knows; deliveries to others are held.
        """
        from waitctl.infrastructure.store import overview, pauses, quarantine, ticks

        wanted = (wanted or WaitFilter()).checked()
        with self._database.read(connection) as connection_:
            now = self._database.clock(connection_)
            backlogs = overview.backlogs(connection_, now=now)
            return PendingWaitsSummary(
                overview.count_open(connection_, now=now)
                if wanted.is_empty
                else filtered.count_open(connection_, wanted, now=now),
                now,
                overview.count_listeners(connection_, now=now),
                backlogs,
                self._inline.count_held_of(connection_, handlers, backlogs),
                paused=tuple(pauses.list_pauses(connection_)),
                quarantined=quarantine.count_quarantined(connection_),
                last_tick=ticks.last_tick(connection_),
                real_now=self._database.real_clock(connection_),
            )

    def get_history(self, wait_id: str, connection: Connection | None = None) -> list[Transition]:
        """A wait's audit trail, oldest first."""
        with self._database.read(connection) as connection_:
            return store.history(connection_, find_id(connection_, WAIT, wait_id))

    # -- end by hand ----------------------------------------------------------------------------------------------

    def cancel_wait(
        self, wait_id: str, *, reason: str | None = None, connection: Connection | None = None
    ) -> WaitStatus:
        """Cancel an open wait; cancelling a cancelled one changes nothing.

        Raises `WaitExecutionExpiredError` or `IllegalTransitionError` when it ended otherwise.
        """
        return self._end_by_hand(wait_id, Resolution.CANCELLED, reason, None, connection)

    def cancel_execution(
        self,
        execution_id: str,
        step_id: str | None = None,
        *,
        reason: str | None = None,
        connection: Connection | None = None,
    ) -> list[WaitStatus]:
        """Cancel the open waits of an execution (and step). Returns those that it cancelled; there may be none."""
        check_text(execution_id, "the execution")
        if step_id is not None:
            check_text(step_id, "the step")
        if reason is not None:
            check_reason(reason)

        def work(connection_: Connection) -> list[WaitStatus]:
            now = self._database.clock(connection_)
            waits = store.waits_of_execution(connection_, execution_id, step_id)
            ids = [wait.id for wait in waits if wait.status.is_open]
            landed = self._end(connection_, ids, Resolution.CANCELLED, reason, now=now) if ids else set()
            return [WaitStatus(self._get(connection_, wait_id), now) for wait_id in ids if wait_id in landed]

        return self._database.write(work, connection)

    def resume_wait(
        self,
        wait_id: str,
        *,
        reason: str | None = None,
        data: JsonObject | None = None,
        connection: Connection | None = None,
    ) -> WaitStatus:
        """Resume an open wait by hand. ``data`` goes to its handler and into the audit trail.

        Raises `WaitExecutionExpiredError` or `IllegalTransitionError` when it has ended, and
        `EventListenerExpiredError` when its deadline has passed, though no tick has ended it yet.
        """
        if data is not None:
            check_json_object(data, "the data")
        return self._end_by_hand(wait_id, Resolution.MANUAL, reason, data, connection)

    def _end_by_hand(
        self,
        wait_id: str,
        resolution: Resolution,
        reason: str | None,
        data: JsonObject | None,
        connection: Connection | None,
    ) -> WaitStatus:
        if reason is not None:
            check_reason(reason)
        full = self.find_wait_id(wait_id, connection)  # before the lock: a head or tail is looked for among all

        def work(connection_: Connection) -> WaitStatus:
            now = self._database.clock(connection_)
            if resolution is Resolution.MANUAL:
                self._get(connection_, full).check_listening(now)
            landed = self._end(connection_, [full], resolution, reason, now=now, data=data)
            wait = self._get(connection_, full)
            already = resolution is Resolution.CANCELLED and wait.status is WaitExecutionStatus.CANCELLED
            if not landed and not already:
                wait.check_may_end(resolution)
            return WaitStatus(wait, now)

        return self._database.write(work, connection)

    def _end(
        self,
        connection: Connection,
        ids: Sequence[str],
        resolution: Resolution,
        reason: str | None,
        *,
        now: datetime,
        data: JsonObject | None = None,
    ) -> set[str]:
        return completion.end_waits(
            connection,
            ids,
            resolution,
            now=now,
            reason=self._database.dated(reason or resolution.value),
            actor=self._actor,
            data=data,
        )

    def _get(self, connection: Connection, wait_id: str) -> WaitStepExecution:
        wait = store.get_wait(connection, wait_id)
        if wait is None:
            raise WAIT.not_found(wait_id)
        return wait


def _check_aware(at: datetime | None) -> None:
    if at is not None and at.tzinfo is None:
        raise InvalidWaitDateError("a naive datetime is no instant", hint="give it a tzinfo, or pass a text")


def _check_registered(event_types: Sequence[str], registered: set[str]) -> None:
    for name in event_types:
        check_registered(name, registered)
