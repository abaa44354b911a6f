"""Durable waits for shell scripts and cron jobs.

The command line is `waitctl`; from Python:

    from waitctl import Particulars, WaitSchedulingService

    service = WaitSchedulingService("sqlite:///waits.db")
    service.create_fixed_time_wait("3d", Particulars("order-17", contact_id="ada@example.org", handler="nudge"))

Everything is imported when it is first used: `waitctl --help` needs no database library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from waitctl.application.awaiting import Awaited, AwaitService
    from waitctl.application.correlation import EventService, RecordResult, make_event
    from waitctl.application.delivery import DeliveryService
    from waitctl.application.pausing import PauseService
    from waitctl.application.rescheduling import ReschedulingService
    from waitctl.application.resolving import TickOptions
    from waitctl.application.results import PendingWaitsSummary, WaitCreateResult, WaitStatus
    from waitctl.application.scheduling import WaitSchedulingService
    from waitctl.application.tick import Tick, TickReport
    from waitctl.application.watch import Watch
    from waitctl.application.why import WhyService
    from waitctl.domain.deliveries import Outcome
    from waitctl.domain.durations import Duration, TimeUnit
    from waitctl.domain.errors import WaitStepError
    from waitctl.domain.events import Event, EventType
    from waitctl.domain.handlers import Dead, InlineCommand, Retry
    from waitctl.domain.hours import OpeningHours, parse_hours
    from waitctl.domain.instants import Dst
    from waitctl.domain.intents import Late, Rules
    from waitctl.domain.listeners import EventListener, EventQuery
    from waitctl.domain.pauses import PauseKind
    from waitctl.domain.waits import (
        Particulars,
        Resolution,
        WaitExecutionStatus,
        WaitFilter,
        WaitStepExecution,
        WaitType,
    )
    from waitctl.infrastructure.config import Settings, load_settings
    from waitctl.infrastructure.database import Database
    from waitctl.infrastructure.signals import Signal

_HOMES = {
    "waitctl.application.correlation": ("EventService", "RecordResult", "make_event"),
    "waitctl.application.awaiting": ("AwaitService", "Awaited"),
    "waitctl.application.delivery": ("DeliveryService",),
    "waitctl.application.pausing": ("PauseService",),
    "waitctl.application.rescheduling": ("ReschedulingService",),
    "waitctl.application.results": ("PendingWaitsSummary", "WaitCreateResult", "WaitStatus"),
    "waitctl.application.scheduling": ("WaitSchedulingService",),
    "waitctl.application.resolving": ("TickOptions",),
    "waitctl.application.tick": ("Tick", "TickReport"),
    "waitctl.application.watch": ("Watch",),
    "waitctl.application.why": ("WhyService",),
    "waitctl.domain.deliveries": ("Outcome",),
    "waitctl.domain.durations": ("Duration", "TimeUnit"),
    "waitctl.domain.errors": ("WaitStepError",),
    "waitctl.domain.events": ("Event", "EventType"),
    "waitctl.domain.handlers": ("Dead", "InlineCommand", "Retry"),
    "waitctl.domain.hours": ("OpeningHours", "parse_hours"),
    "waitctl.domain.instants": ("Dst",),
    "waitctl.domain.intents": ("Late", "Rules"),
    "waitctl.domain.listeners": ("EventListener", "EventQuery"),
    "waitctl.domain.pauses": ("PauseKind",),
    "waitctl.domain.waits": (
        "Particulars",
        "Resolution",
        "WaitExecutionStatus",
        "WaitFilter",
        "WaitStepExecution",
        "WaitType",
    ),
    "waitctl.infrastructure.config": ("Settings", "load_settings"),
    "waitctl.infrastructure.database": ("Database",),
    "waitctl.infrastructure.signals": ("Signal",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"

__all__ = [
    "AwaitService",
    "Awaited",
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
    "OpeningHours",
    "Outcome",
    "Particulars",
    "PauseKind",
    "PauseService",
    "PendingWaitsSummary",
    "RecordResult",
    "ReschedulingService",
    "Resolution",
    "Retry",
    "Rules",
    "Settings",
    "Signal",
    "Tick",
    "TickOptions",
    "TickReport",
    "TimeUnit",
    "WaitCreateResult",
    "WaitExecutionStatus",
    "WaitFilter",
    "WaitSchedulingService",
    "WaitStatus",
    "WaitStepError",
    "WaitStepExecution",
    "WaitType",
    "Watch",
    "WhyService",
    "__version__",
    "load_settings",
    "make_event",
    "parse_hours",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'waitctl' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
