"""Create, inspect, cancel and resume waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from waitctl.application.coming_again import ComingAgain
from waitctl.application.id_lookup import WAIT, find_cursor, find_id, get_by_id
from waitctl.application.waits.results import (
    CreateTotals,
    PendingWaitsSummary,
    Rejection,
    WaitCreateResult,
    WaitStatus,
)
from waitctl.domain.durations import Duration
from waitctl.domain.errors import (
    WaitExecutionNotFoundError,
    WaitStepError,
)
from waitctl.domain.filters import NEWEST_FIRST, SortKey, WaitFilter, WaitOrder
from waitctl.domain.intents import (
    Past,
    Roll,
    Rules,
)
from waitctl.domain.statuses import Resolution, WaitExecutionStatus
from waitctl.domain.text import JsonObject, check_json_object, check_reason, check_text
from waitctl.domain.waits import WaitSpec, WaitStepExecution
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Caller, Connection, Database
from waitctl.infrastructure.store import completion
from waitctl.infrastructure.store import filters as filtered
from waitctl.infrastructure.store import waits as store
from waitctl.infrastructure.store.waits import Transition

if TYPE_CHECKING:
    from waitctl.application.waits.creating import WaitCreator
    from waitctl.application.waits.requests import Alike, WaitRequest
    from waitctl.domain.listeners import EventQuery


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

    # What only some of the calls need is loaded by them: a script starts a process for each.

    @cached_property
    def _creator(self) -> WaitCreator:
        from waitctl.application.waits.creating import WaitCreator

        return WaitCreator(self._database, self._settings, actor=self._actor)

    # -- create ---------------------------------------------------------------------------------------------------

    def create_fixed_time_wait(
        self,
        duration: Duration | timedelta | str,
        spec: WaitSpec,
        *,
        at: time | str | None = None,
        on: str | None = None,
        rules: Rules = Rules(),
        base: datetime | None = None,
        replace_open: bool = False,
        dry_run: bool = False,
        connection: Caller | None = None,
    ) -> WaitCreateResult:
        """Wait for a span of elapsed time, as in ``"3d"`` or a `timedelta`, or for business days, as in ``"3bd"``.

        ``at`` is a time of day, and makes the duration local calendar days; so does a calendar in ``rules``, which say
        what the instant must obey. ``"1mo"`` is a calendar month, ``on`` the day of the one that is reached (``"15"``,
        ``"last friday"``), and ``"4bh"`` is open time of the calendar. ``base`` is the instant to count from instead of
        now; ``replace_open`` cancels another open wait of the step first.

        Raises `InvalidWaitDurationError`, `InvalidWaitTimeError`, `InvalidWaitConfigurationError`,
        `UnknownCalendarError`, `CalendarRangeError`, `NoOpeningError`, `WaitAlreadyOpenError` or
        `IdempotencyKeyConflictError`.
        """
        from waitctl.application.waits.requests import WaitRequest

        request = WaitRequest.fixed_time(
            duration, spec, at=at, on=on, rules=rules, base=base, replace_open=replace_open
        )
        return self._creator.create(request, dry_run=dry_run, connection=connection)

    def create_until_date_wait(
        self,
        date: date | str | None,
        spec: WaitSpec,
        *,
        offset: timedelta | str | None = None,
        field: str | None = None,
        field_format: str | None = None,
        on: str | None = None,
        roll: str = Roll.BACK,
        rules: Rules = Rules(),
        base: datetime | None = None,
        past: str = Past.REJECT,
        replace_open: bool = False,
        dry_run: bool = False,
        connection: Caller | None = None,
    ) -> WaitCreateResult:
        """Wait until an instant, or until a local date and time in the wait's zone.

        Instead of a ``date``, ``field`` says where it stands in the context, and ``field_format`` how it is written
        there (``"DD.MM.YYYY"``); ``offset`` (``"-2d"``) goes back or on from it, and ``on`` (``"last friday"``) takes a
        day of the month that this leads to. What lies before a date and may not go on then goes back to the latest
        opening, or on to the next one with ``roll="forward"``, never past the date. ``past="fire"`` makes a date before
        the base due at once instead of raising `InvalidWaitDateError`, ``"next"`` takes the next opening, or the next
        day that passes.
        For the rest see `create_fixed_time_wait`.
        """
        from waitctl.application.waits.requests import WaitRequest

        request = WaitRequest.until_date(
            date,
            spec,
            offset=offset,
            field=field,
            field_format=field_format,
            on=on,
            roll=roll,
            rules=rules,
            base=base,
            past=past,
            replace_open=replace_open,
        )
        return self._creator.create(request, dry_run=dry_run, connection=connection)

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
        connection: Caller | None = None,
    ) -> WaitCreateResult:
        """Wait until clocks in the wait's zone next show ``time`` (``"09:00"``), strictly after now.

        ``days`` are weekdays (``"mon-fri"``). Raises `InvalidWaitTimeError`. For the rest see
        `create_fixed_time_wait`.
        """
        from waitctl.application.waits.requests import WaitRequest

        request = WaitRequest.until_time(time, spec, days=days, rules=rules, base=base, replace_open=replace_open)
        return self._creator.create(request, dry_run=dry_run, connection=connection)

    def create_event_wait(
        self,
        query: EventQuery,
        spec: WaitSpec,
        *,
        base: datetime | None = None,
        replace_open: bool = False,
        dry_run: bool = False,
        connection: Caller | None = None,
    ) -> WaitCreateResult:
        """Wait for an event of the contact, or for the query's timeout, whichever comes first.

        An event received up to the query's lookback before now still counts, and then the wait that is returned has
        already ended. ``base`` is what the timeout counts from. Raises `InvalidEventTypeError` for a type that is not
        registered, `UnsafeConnectionError` for a caller's transaction that could lose a wake-up,
        `InvalidWaitConfigurationError` without a contact; for the rest see `create_fixed_time_wait`.
        """
        from waitctl.application.waits.requests import WaitRequest

        request = WaitRequest.for_event(query, spec, base=base, replace_open=replace_open)
        return self._creator.create(request, dry_run=dry_run, connection=connection)

    def create_wait(
        self, request: WaitRequest, *, dry_run: bool = False, connection: Caller | None = None
    ) -> WaitCreateResult:
        """Create the wait that is asked for. Raises what the method for its form raises."""
        return self._creator.create(request, dry_run=dry_run, connection=connection)

    def create_waits(
        self,
        requests: Iterable[WaitRequest | Alike | WaitStepError],
        *,
        on_rejection: Callable[[Rejection], None] = lambda _: None,
        on_batch: Callable[[CreateTotals], object] = lambda _: None,
        dry_run: bool = False,
        connection: Caller | None = None,
    ) -> CreateTotals:
        """Create the waits that are asked for, as one call each would: a thousand at a time, in one transaction each.

        What cannot be created goes to ``on_rejection`` with its place (from 1), and the rest goes on; an error among
        the requests is such a one. ``on_batch`` is told how far it has come. Interrupted and run again, a wait with a
        key, or that is still open, is not created twice. On a caller's ``connection`` all is part of the caller's
        transaction. Raises `DatabaseError`, and `UnsafeConnectionError` for a caller's transaction that could lose a
        wake-up.
        """
        from waitctl.application.waits.batches import BatchCreator

        batches = BatchCreator(self._creator, on_rejection=on_rejection, on_batch=on_batch, dry_run=dry_run)
        return batches.run(requests, connection)

    # -- inspect --------------------------------------------------------------------------------------------------

    def find_wait_id(self, text: str, connection: Caller | None = None) -> str:
        """The full id for an id, or for a head or tail of one of at least 8 hexadecimal digits.

        Raises `InvalidWaitConfigurationError`, `WaitExecutionNotFoundError` or `AmbiguousIdError` (naming up to 10).
        """
        with self._database.read(connection) as connection_:
            return find_id(connection_, WAIT, text)

    def get_wait_status(self, wait_id: str, connection: Caller | None = None) -> WaitStatus:
        """A wait with its listeners and deliveries. Takes what `find_wait_id` takes, and raises what it raises."""
        with self._database.read(connection) as connection_:
            wait = get_by_id(connection_, WAIT, wait_id, store.get_wait)
            return WaitStatus(wait, self._database.clock(connection_))

    def get_step_status(self, execution_id: str, step_id: str, connection: Caller | None = None) -> WaitStatus:
        """The latest wait of a step. Raises `WaitExecutionNotFoundError`."""
        check_text(execution_id, "the execution")
        check_text(step_id, "the step")
        with self._database.read(connection) as connection_:
            found = store.waits_of_execution(connection_, execution_id, step_id)
            if not found:
                raise WaitExecutionNotFoundError(f"no wait of execution {execution_id!r}, step {step_id!r}")
            return WaitStatus(found[-1], self._database.clock(connection_))

    def get_execution_status(self, execution_id: str, connection: Caller | None = None) -> list[WaitStatus]:
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
        connection: Caller | None = None,
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
        failing: bool = False,
        connection: Caller | None = None,
    ) -> PendingWaitsSummary:
        """Count what is open, of the waits that are meant. The deliveries are counted whatever wait they are of.

        ``handlers`` are those that this host knows; deliveries to others are held. With ``failing`` the backlogs say,
        too, how many of their deliveries have failed, which takes longer.
        """
        from waitctl.application.inline_commands import InlineCommands
        from waitctl.infrastructure.store import overview, pauses, quarantine, ticks

        wanted = (wanted or WaitFilter()).checked()
        with self._database.read(connection) as connection_:
            now = self._database.clock(connection_)
            backlogs = overview.backlogs(connection_, now=now, failing=failing)
            return PendingWaitsSummary(
                overview.count_open(connection_, now=now)
                if wanted.is_empty
                else filtered.count_open_among(connection_, wanted, now=now),
                now,
                overview.count_listeners(connection_, now=now),
                backlogs,
                InlineCommands(self._settings, self._database).count_held_of(connection_, handlers, backlogs),
                paused=tuple(pauses.list_pauses(connection_)),
                quarantined=quarantine.count_quarantined(connection_),
                last_tick=ticks.last_tick(connection_),
                real_now=self._database.real_clock(connection_),
            )

    def get_history(
        self, wait_id: str, connection: Caller | None = None, *, newest: int | None = None
    ) -> list[Transition]:
        """A wait's audit trail, oldest first; of a long one only so many of the ``newest`` lines."""
        with self._database.read(connection) as connection_:
            return store.history(connection_, find_id(connection_, WAIT, wait_id), newest=newest)

    # -- end by hand ----------------------------------------------------------------------------------------------

    def cancel_wait(self, wait_id: str, *, reason: str | None = None, connection: Caller | None = None) -> WaitStatus:
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
        connection: Caller | None = None,
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
        connection: Caller | None = None,
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
        connection: Caller | None,
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
        landed = completion.end_waits(
            connection,
            ids,
            resolution,
            now=now,
            reason=self._database.dated(reason or resolution.value),
            actor=self._actor,
            data=data,
        )
        if landed:
            ComingAgain(self._database, self._settings, actor=self._actor).go_on_among(
                connection, list(landed), now=now
            )
        return landed

    def _get(self, connection: Connection, wait_id: str) -> WaitStepExecution:
        wait = store.get_wait(connection, wait_id)
        if wait is None:
            raise WAIT.not_found(wait_id)
        return wait
