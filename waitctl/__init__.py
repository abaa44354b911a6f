"""Durable waits for shell scripts and cron jobs.

The command line is `waitctl`; from Python:

    from waitctl import WaitSpec, WaitSchedulingService

    service = WaitSchedulingService("sqlite:///waits.db")
    service.create_fixed_time_wait("3d", WaitSpec("order-17", contact_id="ada@example.org", handler="nudge"))

Everything is imported when it is first used: `waitctl --help` needs no database library.
"""

import importlib

# Nothing is imported here that `python -m` has not: the current folder still comes before the standard library then.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from waitctl.application.contacts import ContactInput, ContactService
    from waitctl.application.deliveries.outbox import DeliveryService
    from waitctl.application.deliveries.pausing import PauseService
    from waitctl.application.diagnosis import WhyService
    from waitctl.application.events.recording import EventService, make_event
    from waitctl.application.events.results import RecordResult
    from waitctl.application.operations.bulk import BulkService
    from waitctl.application.operations.templates import TemplateService
    from waitctl.application.processor.run import TickOptions
    from waitctl.application.processor.tick import Tick, TickReport
    from waitctl.application.processor.watch import Watch
    from waitctl.application.waits.awaiting import Awaited, AwaitService
    from waitctl.application.waits.planning import MoveOptions
    from waitctl.application.waits.recurring import RecurrenceResult, RecurrenceService
    from waitctl.application.waits.requests import WaitRequest
    from waitctl.application.waits.rescheduling import ReschedulingService
    from waitctl.application.waits.results import (
        CreateTotals,
        PendingWaitsSummary,
        Rejection,
        WaitCreateResult,
        WaitStatus,
    )
    from waitctl.application.waits.scheduling import WaitSchedulingService
    from waitctl.application.waits.updating import UpdatingService
    from waitctl.domain.durations import Duration, TimeUnit
    from waitctl.domain.errors import WaitStepError
    from waitctl.domain.events import Event, EventType
    from waitctl.domain.filters import WaitFilter
    from waitctl.domain.handlers import Dead, InlineCommand, Retry
    from waitctl.domain.hours import OpeningHours, parse_hours
    from waitctl.domain.instants import Dst
    from waitctl.domain.intents import Rules
    from waitctl.domain.late import Late
    from waitctl.domain.listeners import EventListener, EventQuery
    from waitctl.domain.pauses import PauseKind
    from waitctl.domain.plans import Plan, PlanKind
    from waitctl.domain.recurrence import Recurrence, RecurrenceRule, RecurrenceStatus
    from waitctl.domain.statuses import Outcome, Resolution, WaitExecutionStatus, WaitType
    from waitctl.domain.waits import WaitSpec, WaitStepExecution
    from waitctl.infrastructure.config import Settings, load_settings
    from waitctl.infrastructure.database import Database
    from waitctl.infrastructure.wakeup import Wakeup

_HOMES = {
    "waitctl.application.events.recording": ("EventService", "make_event"),
    "waitctl.application.events.results": ("RecordResult",),
    "waitctl.application.waits.awaiting": ("AwaitService", "Awaited"),
    "waitctl.application.deliveries.outbox": ("DeliveryService",),
    "waitctl.application.deliveries.pausing": ("PauseService",),
    "waitctl.application.operations.bulk": ("BulkService",),
    "waitctl.application.waits.planning": ("MoveOptions",),
    "waitctl.application.contacts": ("ContactInput", "ContactService"),
    "waitctl.application.waits.recurring": ("RecurrenceResult", "RecurrenceService"),
    "waitctl.application.waits.updating": ("UpdatingService",),
    "waitctl.application.waits.rescheduling": ("ReschedulingService",),
    "waitctl.application.waits.requests": ("WaitRequest",),
    "waitctl.application.waits.results": (
        "CreateTotals",
        "PendingWaitsSummary",
        "Rejection",
        "WaitCreateResult",
        "WaitStatus",
    ),
    "waitctl.application.waits.scheduling": ("WaitSchedulingService",),
    "waitctl.application.operations.templates": ("TemplateService",),
    "waitctl.application.processor.run": ("TickOptions",),
    "waitctl.application.processor.tick": ("Tick", "TickReport"),
    "waitctl.application.processor.watch": ("Watch",),
    "waitctl.application.diagnosis": ("WhyService",),
    "waitctl.domain.durations": ("Duration", "TimeUnit"),
    "waitctl.domain.errors": ("WaitStepError",),
    "waitctl.domain.events": ("Event", "EventType"),
    "waitctl.domain.filters": ("WaitFilter",),
    "waitctl.domain.handlers": ("Dead", "InlineCommand", "Retry"),
    "waitctl.domain.hours": ("OpeningHours", "parse_hours"),
    "waitctl.domain.instants": ("Dst",),
    "waitctl.domain.intents": ("Rules",),
    "waitctl.domain.late": ("Late",),
    "waitctl.domain.listeners": ("EventListener", "EventQuery"),
    "waitctl.domain.pauses": ("PauseKind",),
    "waitctl.domain.plans": ("Plan", "PlanKind"),
    "waitctl.domain.recurrence": ("Recurrence", "RecurrenceRule", "RecurrenceStatus"),
    "waitctl.domain.statuses": ("Outcome", "Resolution", "WaitExecutionStatus", "WaitType"),
    "waitctl.domain.waits": ("WaitSpec", "WaitStepExecution"),
    "waitctl.infrastructure.config": ("Settings", "load_settings"),
    "waitctl.infrastructure.database": ("Database",),
    "waitctl.infrastructure.wakeup": ("Wakeup",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

_FORMER_NAMES = {"Particulars": "WaitSpec", "Signal": "Wakeup"}
"""Names of earlier versions, which go on working."""

__version__ = "0.1.0"

__all__ = [
    "AwaitService",
    "Awaited",
    "BulkService",
    "ContactInput",
    "ContactService",
    "CreateTotals",
    "Database",
    "Dead",
    "DeliveryService",
    "Dst",
    "Duration",
    "Event",
    "EventListener",
    "EventQuery",
    "EventService",
    "EventType",
    "InlineCommand",
    "Late",
    "MoveOptions",
    "OpeningHours",
    "Outcome",
    "PauseKind",
    "PauseService",
    "PendingWaitsSummary",
    "Plan",
    "PlanKind",
    "RecordResult",
    "Recurrence",
    "RecurrenceResult",
    "RecurrenceRule",
    "RecurrenceService",
    "RecurrenceStatus",
    "Rejection",
    "ReschedulingService",
    "Resolution",
    "Retry",
    "Rules",
    "Settings",
    "TemplateService",
    "Tick",
    "TickOptions",
    "TickReport",
    "TimeUnit",
    "UpdatingService",
    "WaitCreateResult",
    "WaitExecutionStatus",
    "WaitFilter",
    "WaitRequest",
    "WaitSchedulingService",
    "WaitSpec",
    "WaitStatus",
    "WaitStepError",
    "WaitStepExecution",
    "WaitType",
    "Wakeup",
    "Watch",
    "WhyService",
    "load_settings",
    "make_event",
    "parse_hours",
]


def __getattr__(name: str) -> object:
    name = _FORMER_NAMES.get(name, name)
    if name not in _HOME_OF:
        raise AttributeError(f"module 'waitctl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
