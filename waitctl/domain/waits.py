"""The wait: its types, its statuses, and which status may follow which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from waitctl.domain.contacts import TZ_CONTACT, TZ_FIELD
from waitctl.domain.deliveries import Delivery
from waitctl.domain.errors import (
    EventListenerExpiredError,
    EventListenerNotFoundError,
    IllegalTransitionError,
    InvalidWaitConfigurationError,
    InvalidWaitDateError,
    WaitExecutionExpiredError,
)
from waitctl.domain.handlers import INLINE, InlineCommand
from waitctl.domain.instants import check_zone, format_instant, zone_name
from waitctl.domain.intents import FIRST_DUE_AT, FixedTime, Intent, Past, Rules, UntilDate, UntilTime
from waitctl.domain.late import Late, late_policy
from waitctl.domain.statuses import Outcome, Resolution, WaitExecutionStatus, WaitType
from waitctl.domain.text import (
    JsonObject,
    StorableObject,
    are_plain,
    check_json_object,
    check_text,
    normalize_contact,
    normalize_plain_contacts,
    to_json,
)
from waitctl.domain.traces import KEY, read_traceparent
from waitctl.domain.values import dataclass, replace

if TYPE_CHECKING:
    from waitctl.domain.calendars import Calendar
    from waitctl.domain.listeners import EventListener
    from waitctl.domain.schedule import Schedule

NUMBER, RECURRENCE = "occurrence", "recurrence"
"""Where `wait_config` says of which recurrence a wait is, and the how many-th."""

TEMPLATE = "template"
"""Where `wait_config` keeps which template a late-bound wait is of, and with what."""

NOT_ASKED = frozenset({"tzdata", "rescheduled", FIRST_DUE_AT, KEY, TEMPLATE})
"""What `wait_config` holds beside what was asked for."""


ENUMERATIONS = ("wait_type", "status", "resolution")
INSTANTS = ("scheduled_at", "timeout_at", "created_at", "updated_at", "resolved_at")
"""The attributes of a wait that documents have as texts."""

_known_text = lru_cache(check_text)  # many waits are of few workflows, and of few steps


class Own(NamedTuple):
    """What hardly two waits have in common: where each belongs."""

    workflow_execution_id: str
    step_id: str
    workflow_id: str | None
    contact_id: str | None
    context: JsonObject | None
    idempotency_key: str | None

    def checked_contact(self) -> str | None:
        """Check all of it. Returns the contact as it is stored. Raises `InvalidWaitConfigurationError`."""
        check_text(self.workflow_execution_id, "the execution")
        _known_text(self.step_id, "the step")
        if self.workflow_id is not None:
            _known_text(self.workflow_id, "the workflow")
        if self.idempotency_key is not None:
            check_text(self.idempotency_key, "the key")
        if self.context is not None and type(self.context) is not StorableObject:
            check_json_object(self.context, "the context")
        return None if self.contact_id is None else normalize_contact(self.contact_id)


def checked_contacts(owns: Iterable[Own]) -> list[str | None] | None:
    """As `Own.checked_contact` of each, but for the contexts; ``None``: one of them needs a closer look."""
    executions, steps, workflows, contacts, _, keys = zip(*owns, strict=True)
    try:
        found = normalize_plain_contacts(contacts)
        texts = {*executions, *steps, *workflows, *keys, *(found or ())} - {None}
        return found if are_plain(texts) else None
    except TypeError:  # one is no text
        return None


@dataclass(frozen=True, slots=True)
class WaitSpec:
    """What every wait has, whatever it waits for: where it belongs and what happens when it ends.

    ``handlers`` hear of single outcomes, ``handler`` of the others. ``command`` runs instead of ``handler``. The zone
    is the one that stands under ``zone_field`` of the context, or that of the contact, where that is asked for and
    known, else ``timezone``.
    """

    workflow_execution_id: str
    step_id: str = "wait"
    workflow_id: str | None = None
    contact_id: str | None = None
    context: JsonObject | None = None
    handler: str | None = None
    idempotency_key: str | None = None
    timezone: str = "UTC"
    handlers: Mapping[Outcome, str] | None = None
    command: InlineCommand | None = None
    zone_field: str | None = None
    zone_of_contact: bool = False
    traceparent: str | None = None
    """The span that creates it, as W3C Trace Context writes it; anything else is ignored."""
    template: JsonObject | None = None
    """What it is bound to: see `templates.LateBinding`."""

    def __post_init__(self) -> None:
        if type(self.timezone) is not str:  # as Python programs have it
            object.__setattr__(self, "timezone", zone_name(self.timezone))

    def checked(self) -> WaitSpec:
        """Return this spec validated and normalised. Raises `InvalidWaitConfigurationError`."""
        contact = self.own.checked_contact()
        if self.handler is not None:
            check_text(self.handler, "the handler")
        for outcome, name in self.handlers.items() if self.handlers else ():
            check_text(name, f"the handler of {outcome}")
        check_zone(self.timezone)
        if self.zone_field is not None:
            check_text(self.zone_field, "the field of the zone")
        if self.zone_of_contact and self.contact_id is None:
            raise InvalidWaitConfigurationError("the zone of the contact needs a contact", hint="--contact ID")
        handler = self._checked_handler()
        if contact == self.contact_id and handler == self.handler:
            return self
        return replace(self, contact_id=contact, handler=handler)

    @property
    def own(self) -> Own:
        """What it hardly has in common with another."""
        return Own(
            self.workflow_execution_id,
            self.step_id,
            self.workflow_id,
            self.contact_id,
            self.context,
            self.idempotency_key,
        )

    @property
    def zone_config(self) -> JsonObject:
        """Where its zone comes from, as `wait_config` keeps it."""
        config: JsonObject = {} if self.zone_field is None else {TZ_FIELD: self.zone_field}
        return config | {TZ_CONTACT: True} if self.zone_of_contact else config

    def _checked_handler(self) -> str | None:
        is_named = self.handler == INLINE or (self.handlers is not None and INLINE in self.handlers.values())
        if self.command is None and is_named:
            raise InvalidWaitConfigurationError(f"the handler {INLINE!r} is what runs the command of a wait")
        if self.command is None:
            return self.handler
        self.command.checked()
        if self.handler not in {None, INLINE}:
            raise InvalidWaitConfigurationError(
                f"a command and the handler {self.handler!a}: one of them can run",
                hint="by outcome: --handler timeout=NAME -- COMMAND",
            )
        return INLINE


@dataclass(frozen=True, slots=True)
class WaitStepExecution:
    """One wait of one step of one execution: the aggregate, its listeners with it.

    Instants are aware and in UTC. ``wait_config`` keeps what was asked, ``scheduled_at`` and ``timeout_at`` what that
    came to. ``late_seconds`` is set once the wait has ended (or was created past its instant).
    """

    id: str
    workflow_id: str | None
    workflow_execution_id: str
    step_id: str
    contact_id: str | None
    wait_type: WaitType
    status: WaitExecutionStatus
    scheduled_at: datetime | None
    timeout_at: datetime | None
    timezone: str
    wait_config: JsonObject
    context: JsonObject | None
    handler: str | None
    idempotency_key: str | None
    created_at: datetime
    updated_at: datetime
    resolved_at: datetime | None = None
    resolution: Resolution | None = None
    resolution_event_id: str | None = None
    late_seconds: int | None = None
    listeners: tuple[EventListener, ...] = ()
    deliveries: tuple[Delivery, ...] = field(default=())
    late_policy: Late | None = None
    """What else than fire a tick may do when it finds the wait late."""
    handlers: JsonObject | None = None
    command: JsonObject | None = None

    @classmethod
    def for_time(
        cls,
        wait_id: str,
        spec: WaitSpec,
        intent: Intent,
        *,
        now: datetime,
        rules: Rules = Rules(),
        calendar: Calendar | None = None,
        base: datetime | None = None,
        tzdata: str | None = None,
    ) -> tuple[WaitStepExecution, Schedule]:
        """A wait for an instant, and how that instant came about.

        ``calendar`` is what ``rules`` name; ``base`` is the instant to count from instead of ``now``. Raises
        `InvalidWaitDateError` for an until-date before the base unless it says otherwise, and what
        `IntentResolver.resolve` raises.
        """
        from waitctl.domain.schedule import IntentResolver  # what only looks at waits computes no instants

        spec, rules = spec.checked(), rules.checked()
        start = base or now
        resolver = IntentResolver(intent, spec.timezone, rules, calendar)
        config = asked_config(intent, rules.to_config() | spec.zone_config, base=base, tzdata=tzdata)
        if isinstance(intent, UntilDate):
            _check_past(resolver.delay(start), start, intent)
        schedule = resolver.resolve(start, wait_id)
        if isinstance(intent, UntilDate):
            _check_past(schedule, start, intent)
        if schedule.at < start:
            schedule = replace(schedule, moves=(*schedule.moves, "past: that instant has passed, so it is due at once"))
        wait = cls._open(wait_id, spec, WAIT_TYPES[type(intent)], config, now=now, scheduled_at=schedule.at)
        return replace(wait, late_policy=late_policy(rules, resolver.opening_rules)), schedule

    @classmethod
    def for_event(
        cls,
        wait_id: str,
        spec: WaitSpec,
        listeners: tuple[EventListener, ...],
        config: JsonObject,
        *,
        now: datetime,
        timeout_at: datetime | None,
        late: Late | None = None,
    ) -> WaitStepExecution:
        """A wait for the first event that one of ``listeners`` matches. See `listeners.EventQuery`.

        ``late`` is the `late_policy` of its rules: an event outside its window schedules it.
        """
        spec = spec.checked()
        config |= spec.zone_config
        wait = cls._open(wait_id, spec, WaitType.FOR_EVENT, config, now=now, timeout_at=timeout_at)
        return replace(wait, listeners=listeners, late_policy=late)

    @classmethod
    def _open(
        cls,
        wait_id: str,
        spec: WaitSpec,
        wait_type: WaitType,
        config: JsonObject,
        *,
        now: datetime,
        scheduled_at: datetime | None = None,
        timeout_at: datetime | None = None,
    ) -> WaitStepExecution:
        late = scheduled_at is not None and scheduled_at < now
        check_routes(spec, wait_type)
        if (link := read_traceparent(spec.traceparent)) is not None:
            config = config | {KEY: link}
        if spec.template is not None:
            config = config | {TEMPLATE: spec.template}
        return cls(
            id=wait_id,
            workflow_id=spec.workflow_id,
            workflow_execution_id=spec.workflow_execution_id,
            step_id=spec.step_id,
            contact_id=spec.contact_id,
            wait_type=wait_type,
            status=WaitExecutionStatus.SCHEDULED if scheduled_at else WaitExecutionStatus.WAITING,
            scheduled_at=scheduled_at,
            timeout_at=timeout_at,
            timezone=spec.timezone,
            wait_config=config,
            context=spec.context,
            handler=spec.handler,
            handlers={outcome.value: name for outcome, name in (spec.handlers or {}).items()} or None,
            command=None if spec.command is None else spec.command.to_json(),
            idempotency_key=spec.idempotency_key,
            created_at=now,
            updated_at=now,
            late_seconds=_seconds(now - scheduled_at) if late and scheduled_at else None,
        )

    @property
    def fingerprint(self) -> str:
        """What makes two waits the same: what was asked, never the instant that it came to."""
        asked = {key: value for key, value in self.wait_config.items() if key not in NOT_ASKED}
        return to_json(
            [
                self.wait_type,
                _canonical(asked),
                # Where the zone comes from was asked for, and not what it was then.
                None if TZ_FIELD in asked or TZ_CONTACT in asked else self.timezone,
                self.contact_id,
                self.handler,
                _canonical(self.context),
                self.workflow_id,
                *([self.handlers, self.command] if self.handlers or self.command else ()),
            ]
        )

    def is_overdue(self, now: datetime) -> bool:
        """Whether a tick at ``now`` would end this wait."""
        if not self.status.is_open:
            return False
        due = [self.scheduled_at, *(listener.expires_at for listener in self.listeners)]
        return any(at is not None and at <= now for at in due)

    def check_may_end(self, resolution: Resolution) -> None:
        """Raise unless this wait may end by ``resolution``.

        Raises `WaitExecutionExpiredError` when it timed out, `IllegalTransitionError` when it ended otherwise.
        """
        self.check_open("cancelled" if resolution is Resolution.CANCELLED else "resumed")

    def check_open(self, verb: str) -> None:
        """Raise, saying that it cannot be ``verb`` any more, unless this wait is open; see `check_may_end`.

        Raises `WaitExecutionExpiredError` when it timed out, else `IllegalTransitionError`.
        """
        if self.status.is_open:
            return
        ended = f"the wait cannot be {verb}: it ended {self._ending()}"
        if self.resolution is Resolution.TIMEOUT:
            raise WaitExecutionExpiredError(ended)
        raise IllegalTransitionError(ended)

    def check_listening(self, now: datetime) -> None:
        """Raise unless an event received at ``now`` could still end this wait, if that is what it waits for.

        Raises `EventListenerNotFoundError` when nothing listens for it, and `EventListenerExpiredError` when its
        deadline has passed, with its grace: the deadline decides, whether or not a tick has run.
        """
        if self.status is not WaitExecutionStatus.WAITING:
            return
        self.check_listeners()
        expires_at = max((each.expires_at for each in self.listeners if each.expires_at), default=None)
        if expires_at is not None and now >= expires_at:
            raise EventListenerExpiredError(
                f"the wait cannot be resumed: its deadline has passed, at {format_instant(expires_at)}",
                hint="the next tick ends it by timeout",
            )

    def check_listeners(self) -> None:
        """Raise `EventListenerNotFoundError` when this is a wait for events and has no listeners."""
        if self.wait_type is WaitType.FOR_EVENT and not self.listeners:
            raise EventListenerNotFoundError(f"nothing listens for wait {self.id}: its listeners are gone")

    def _ending(self) -> str:
        how = {
            Resolution.DUE: "when it was due",
            Resolution.EVENT: "by an event",
            Resolution.MANUAL: "by hand",
            Resolution.TIMEOUT: "by timeout",
            Resolution.CANCELLED: "by cancellation",
            None: "",
        }[self.resolution]
        return f"{how}, status {self.status}" + (f", at {format_instant(self.resolved_at)}" if self.resolved_at else "")


WAIT_TYPES: Mapping[type, WaitType] = {
    FixedTime: WaitType.FIXED_TIME,
    UntilDate: WaitType.UNTIL_DATE,
    UntilTime: WaitType.UNTIL_TIME,
}


def asked_config(intent: Intent, rules: JsonObject, *, base: datetime | None, tzdata: str | None) -> JsonObject:
    """`wait_config` of a wait for an instant: what was asked for, and which zone rules that was read by."""
    config = intent.to_config() | rules
    if base is not None:
        config["from"] = format_instant(base)
    if isinstance(intent, UntilDate):
        config["past"] = intent.past.value
    return config if tzdata is None else config | {"tzdata": tzdata}


def check_routes(spec: WaitSpec, wait_type: WaitType) -> None:
    """Raise `InvalidWaitConfigurationError` for a handler of an outcome that a wait of this type never has."""
    never = {Outcome.DUE} if wait_type is WaitType.FOR_EVENT else {Outcome.EVENT, Outcome.TIMEOUT}
    for outcome in sorted(never.intersection(spec.handlers or {})):
        raise InvalidWaitConfigurationError(f"a {wait_type.replace('_', '-')} wait never ends by {outcome}")


def _check_past(schedule: Schedule, start: datetime, intent: UntilDate) -> None:
    if schedule.at < start and intent.past is Past.REJECT:
        raise InvalidWaitDateError(
            f"the date has passed: {format_instant(schedule.at)}",
            hint="--past fire makes it due at once, --past next takes the next opening or day",
        )


def _seconds(span: timedelta) -> int:
    return span // timedelta(seconds=1)


def _canonical(value: object) -> object:
    """The value as it is after any database: jsonb sorts keys and writes 1e22 as an integer."""
    if isinstance(value, dict):
        return {key: _canonical(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    # By its decimal text, as jsonb does: int(1e23) is 99999999999999991611392.
    return int(Decimal(repr(value))) if isinstance(value, float) and value.is_integer() else value
