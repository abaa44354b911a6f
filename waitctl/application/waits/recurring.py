"""Recurrences: create, look at, pause, stop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from waitctl.application.calendars.opening_rules import HostOpeningRules
from waitctl.application.contacts import in_its_zone_or_ask
from waitctl.application.documents import instant
from waitctl.application.id_lookup import RECURRENCE as RECURRENCE_ID
from waitctl.application.id_lookup import find_id
from waitctl.application.recurrences import Recurrences
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.domain.durations import Duration
from waitctl.domain.errors import ConflictError, InvalidRecurrenceError, WaitAlreadyOpenError
from waitctl.domain.instants import instant_given
from waitctl.domain.intents import Rules
from waitctl.domain.listeners import EventQuery
from waitctl.domain.occurrences import check_comes, explain, next_occurrence, preview
from waitctl.domain.recurrence import Recurrence, RecurrenceRule, RecurrenceStatus
from waitctl.domain.statuses import WaitType
from waitctl.domain.text import JsonObject, check_reason, check_text, normalize_contact
from waitctl.domain.values import dataclass, replace
from waitctl.domain.waits import WaitSpec, check_routes
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database, host_clock
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.store import recurrences as store

_SHOWN = 5
"""Occurrences that a dry run names."""


@dataclass(frozen=True, slots=True)
class RecurrenceResult:
    """What a create came to. ``created`` is whether the recurrence is new."""

    recurrence: Recurrence
    created: bool
    explanation: tuple[str, ...]


def recurrence_document(recurrence: Recurrence) -> JsonObject:
    """A recurrence as every command prints it."""
    fields = {name: getattr(recurrence, name) for name in recurrence.__dataclass_fields__}
    instants = ("anchor_at", "next_at", "created_at", "updated_at")
    return fields | {name: instant(fields[name]) for name in instants} | {"status": recurrence.status.value}


class RecurrenceService:
    """Waits that come again, in a database. Every call is one transaction."""

    def __init__(self, database: Database | str, *, actor: str = "api", settings: Settings | None = None) -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._actor = actor
        self._settings = settings
        self._recurrences = Recurrences(self._database, settings, actor=actor)
        self._host_rules = HostOpeningRules(settings)
        self._waits = WaitSchedulingService(self._database, actor=actor, settings=settings)

    def create(
        self,
        rule: RecurrenceRule,
        spec: WaitSpec,
        *,
        rules: Rules = Rules(),
        base: datetime | None = None,
        stop_on: str | None = None,
        replace_open: bool = False,
        dry_run: bool = False,
    ) -> RecurrenceResult:
        """Create a recurrence and its first wait, or return the same one of the step that is open.

        It is counted from ``base`` or now. ``stop_on`` is an event of the contact that stops it, from a minute ago on.
        Raises `InvalidRecurrenceError` for a rule that cannot be followed or has nothing to come,
        `WaitAlreadyOpenError` when the step has another open wait or recurrence, and what a wait's create raises.
        """
        rule, rules, spec = rule.checked(), rules.checked(), spec.checked()
        base = None if base is None else instant_given(base, "the base")
        if spec.command is not None:
            raise InvalidRecurrenceError(
                "an inline command is signed for one wait, and a recurrence makes many",
                hint="name a handler of the config file with --handler",
            )
        check_routes(spec, WaitType.FIXED_TIME)
        if stop_on is not None and spec.contact_id is None:
            raise InvalidRecurrenceError("--stop-on needs a contact", hint="--contact ID")
        if dry_run:
            return self._draft(rule, spec, rules, base, stop_on)

        def work(connection: Connection) -> RecurrenceResult:
            return self._create(connection, rule, spec, rules, base, stop_on, replace_open)

        return self._database.write(work)

    def _draft(
        self, rule: RecurrenceRule, spec: WaitSpec, rules: Rules, base: datetime | None, stop_on: str | None
    ) -> RecurrenceResult:
        now = self._now()
        spec, anchor = in_its_zone_or_ask(self._database, spec), base or now
        calendar = self._host_rules.calendar(rules)
        instants = preview(rule, spec.timezone, rules, calendar, anchor=anchor, count=_SHOWN)
        first = next_occurrence(
            rule, spec.timezone, rules, calendar, anchor=anchor, base=anchor, after=max(anchor, now)
        )
        check_comes(first, rule)
        recurrence = _made(rule, spec, rules, anchor, stop_on, now=now, actor=self._actor)
        shown = replace(recurrence, next_at=first.at if first else None)
        return RecurrenceResult(shown, created=False, explanation=explain(rule, spec.timezone, instants))

    def _create(
        self,
        connection: Connection,
        rule: RecurrenceRule,
        spec: WaitSpec,
        rules: Rules,
        base: datetime | None,
        stop_on: str | None,
        replace_open: bool,
    ) -> RecurrenceResult:
        stop = None
        if stop_on is not None:  # before anything else is locked: its topic comes first
            stop = self._stop_wait(connection, spec, stop_on, replace_open)
        now = self._database.clock(connection)
        recurrence = _made(rule, spec, rules, base or now, stop_on, now=now, actor=self._actor)
        existing = store.find_open(connection, spec.workflow_execution_id, spec.step_id)
        if existing is not None and existing.asked == recurrence.asked:
            return RecurrenceResult(existing, created=False, explanation=())
        if existing is not None and not replace_open:
            raise WaitAlreadyOpenError(
                f"execution {spec.workflow_execution_id!r}, step {spec.step_id!r} has another recurrence: "
                f"{existing.id}",
                hint="--replace stops it first; or give this one another --step",
            )
        if existing is not None:
            self._recurrences.end(connection, [existing], RecurrenceStatus.STOPPED, reason="replaced", now=now)
        return self._insert(connection, recurrence, stop, rule, now)

    def _insert(
        self, connection: Connection, recurrence: Recurrence, stop: str | None, rule: RecurrenceRule, now: datetime
    ) -> RecurrenceResult:
        wait = check_comes(self._recurrences.start(connection, recurrence, base=recurrence.anchor_at, now=now), rule)
        made = replace(
            recurrence, wait_id=wait.id, next_at=wait.scheduled_at, occurrence=wait.number, stop_wait_id=stop
        )
        if not store.insert_recurrence(connection, made):
            raise ConflictError("the step's recurrence keeps changing under this create", hint="run it again")
        if self._recurrences.insert(connection, [wait], reason="created", now=now):
            raise WaitAlreadyOpenError(
                f"execution {made.workflow_execution_id!r}, step {made.step_id!r} has an open wait",
                hint="cancel it first; or give this one another --step",
            )
        return RecurrenceResult(made, created=True, explanation=(f"recurring {rule} in {made.timezone}",))

    def _stop_wait(self, connection: Connection, spec: WaitSpec, stop_on: str, replace_open: bool) -> str:
        """The wait for the event that stops a recurrence: an ordinary one, of a step of its own."""
        query = EventQuery(tuple(stop_on.split(",")), lookback=Duration(0, timedelta(minutes=1)))
        own = WaitSpec(
            spec.workflow_execution_id,
            f"{spec.step_id[:240]}.stop",
            spec.workflow_id,
            spec.contact_id,
            timezone=spec.timezone,
        )
        found = self._waits.create_event_wait(query, own, replace_open=replace_open, connection=connection)
        if not found.wait.status.is_open:
            raise ConflictError(f"{stop_on} has come already: there is nothing to repeat")
        return found.wait.id

    # -- looking --------------------------------------------------------------------------------------------------

    def get(self, recurrence_id: str) -> Recurrence:
        """A recurrence by its id, or its head or tail. Raises `RecurrenceNotFoundError` or `AmbiguousIdError`."""
        with self._database.read() as connection:
            return self._get(connection, find_id(connection, RECURRENCE_ID, recurrence_id))

    def list_recurrences(
        self,
        *,
        statuses: Sequence[RecurrenceStatus] = (),
        execution: str | None = None,
        contact: str | None = None,
        limit: int = 0,
        after: str | None = None,
    ) -> list[Recurrence]:
        """Recurrences, newest first, older than ``after``."""
        if execution is not None:
            check_text(execution, "the execution")
        with self._database.read() as connection:
            return store.list_recurrences(
                connection,
                statuses=statuses,
                execution_id=execution,
                contact_id=None if contact is None else normalize_contact(contact),
                limit=limit,
                after=find_id(connection, RECURRENCE_ID, after) if after else None,
            )

    def upcoming(self, recurrence: Recurrence, count: int = _SHOWN) -> list[datetime]:
        """When it comes next, so many times, if every wait ends when it is due; the open one first."""
        if recurrence.next_at is None:
            return []
        rule, rules = RecurrenceRule.from_config(recurrence.rule), Rules.from_config(recurrence.rules)
        left = count if rule.count is None else min(count, rule.count - recurrence.occurrence + 1)
        spec, found = in_its_zone_or_ask(self._database, recurrence.spec), [recurrence.next_at]
        while len(found) < left:
            following = next_occurrence(
                rule,
                spec.timezone,
                rules,
                self._host_rules.calendar(rules),
                anchor=recurrence.anchor_at,
                base=found[-1],
                after=found[-1],
            )
            if following is None:
                break
            found.append(following.at)
        return found[:left]

    # -- by hand --------------------------------------------------------------------------------------------------

    def pause(self, recurrence_id: str, *, reason: str | None = None) -> Recurrence:
        """Cancel the open wait and make none until it goes on; pausing a paused one changes nothing.

        Raises `ConflictError` when it is over.
        """
        return self._end(recurrence_id, RecurrenceStatus.PAUSED, reason)

    def stop(self, recurrence_id: str, *, reason: str | None = None) -> Recurrence:
        """Cancel the open wait, and make none again; stopping a stopped one changes nothing.

        Raises `ConflictError` when it is over otherwise.
        """
        return self._end(recurrence_id, RecurrenceStatus.STOPPED, reason)

    def unpause(self, recurrence_id: str) -> Recurrence:
        """Go on: its next wait is the first that is still to come. One that is active stays so.

        Raises `ConflictError` when it is over, and what making a wait raises.
        """

        def work(connection: Connection) -> Recurrence:
            found = self._locked(connection, recurrence_id)
            if found.status is RecurrenceStatus.ACTIVE:
                return found
            if not found.status.is_open:
                raise ConflictError(f"the recurrence is {found.status}: {found.reason}")
            now = self._database.clock(connection)
            wait = self._recurrences.start(connection, found, base=now, now=now)
            if wait is None:
                self._recurrences.end(
                    connection, [found], RecurrenceStatus.FINISHED, reason="its rule has ended", now=now
                )
                return self._get(connection, found.id)
            if self._recurrences.insert(connection, [wait], reason="created: it goes on", now=now):
                raise WaitAlreadyOpenError("the step of the recurrence has another open wait", hint="cancel it first")
            return self._get(connection, found.id)

        return self._database.write(work)

    def _end(self, recurrence_id: str, status: RecurrenceStatus, reason: str | None) -> Recurrence:
        if reason is not None:
            check_reason(reason)

        def work(connection: Connection) -> Recurrence:
            found = self._locked(connection, recurrence_id)
            if found.status is status:
                return found
            if not found.status.is_open:
                raise ConflictError(f"the recurrence is {found.status}: {found.reason}")
            now = self._database.clock(connection)
            self._recurrences.end(connection, [found], status, reason=reason or "by hand", now=now)
            return self._get(connection, found.id)

        return self._database.write(work)

    def _locked(self, connection: Connection, recurrence_id: str) -> Recurrence:
        full = find_id(connection, RECURRENCE_ID, recurrence_id)
        found = store.get_recurrence(connection, full, lock=True)
        if found is None:
            raise RECURRENCE_ID.not_found(recurrence_id)
        return found

    def _get(self, connection: Connection, recurrence_id: str) -> Recurrence:
        found = store.get_recurrence(connection, recurrence_id)
        if found is None:
            raise RECURRENCE_ID.not_found(recurrence_id)
        return found

    def _now(self) -> datetime:
        if self._database.path is not None and not self._database.path.exists():
            return self._database.as_of or host_clock()
        with self._database.read() as connection:
            return self._database.clock(connection)


def _made(
    rule: RecurrenceRule,
    spec: WaitSpec,
    rules: Rules,
    anchor: datetime,
    stop_on: str | None,
    *,
    now: datetime,
    actor: str,
) -> Recurrence:
    return Recurrence(
        id=new_id(),
        workflow_id=spec.workflow_id,
        workflow_execution_id=spec.workflow_execution_id,
        step_id=spec.step_id,
        contact_id=spec.contact_id,
        rule=rule.to_config(),
        rules=rules.to_config() | spec.zone_config,
        timezone=spec.timezone,
        context=spec.context,
        handler=spec.handler,
        handlers={outcome.value: name for outcome, name in (spec.handlers or {}).items()} or None,
        stop_on=stop_on,
        status=RecurrenceStatus.ACTIVE,
        reason=None,
        actor=actor,
        occurrence=0,
        anchor_at=anchor,
        next_at=None,
        wait_id=None,
        stop_wait_id=None,
        created_at=now,
        updated_at=now,
    )
