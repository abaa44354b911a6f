"""One line for Nagios and its kin: whether waits are served, and what nobody has looked at."""

from __future__ import annotations

from datetime import timedelta
from enum import IntEnum

from waitctl.application.deliveries.handler_factory import handlers_of
from waitctl.application.operations.doctor import MAX_OVERDUE, service_of
from waitctl.application.waits.results import PendingWaitsSummary
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.domain.counts import in_words, some_of, told
from waitctl.domain.durations import format_timedelta
from waitctl.domain.errors import DatabaseError, DatabaseNotFoundError, WaitStepError
from waitctl.domain.health import Service
from waitctl.domain.values import dataclass
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.store import health


class Severity(IntEnum):
    """The exit codes of monitoring plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still well. ``None``: however many."""

    max_overdue: timedelta = MAX_OVERDUE
    max_tick_age: timedelta = timedelta(minutes=3)
    max_dead: int = 0
    max_held: int | None = None
    max_quarantined: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The answer: ``line`` is the one that a plugin prints."""

    severity: Severity
    words: str
    perfdata: str = ""

    @property
    def line(self) -> str:
        """``WAITCTL OK - words | perfdata``; a bar in the words would end them."""
        words = " ".join(self.words.replace("|", "/").split())
        return f"WAITCTL {self.severity.name} - {words}" + (f" | {self.perfdata}" if self.perfdata else "")


def check(settings: Settings, database: Database, limits: Limits) -> Status:
    """Whether waits are served: critical when they are not, a warning for what falls behind or wants to be looked at.

    Raises `DatabaseError`; see `trouble`.
    """
    known = [config.name for config in handlers_of(settings, database)]
    summary = WaitSchedulingService(database, settings=settings).list_pending_waits(handlers=known)
    with database.read() as connection:
        progress_at = health.progress_at(connection)
    service = service_of(summary, progress_at, max_overdue=limits.max_overdue, max_tick_age=limits.max_tick_age)
    found = [_serving(service, summary, limits), *_clock(summary, is_sqlite=database.is_sqlite)]
    for count, most, *what in (
        (summary.deliveries_dead, limits.max_dead, "dead delivery", "dead deliveries"),
        (summary.deliveries_held, limits.max_held, "held delivery", "held deliveries"),
        (summary.quarantined, limits.max_quarantined, "webhook in quarantine", "webhooks in quarantine"),
    ):
        if most is not None and count > most:
            found.append((Severity.WARNING, some_of(count, *what)))
    worst = max(severity for severity, _ in found)
    words = "; ".join(words for severity, words in found if severity or worst is Severity.OK)
    return Status(worst, words, _perfdata(summary, limits))


def trouble(error: WaitStepError) -> Status:
    """What a database that does not answer means, or settings that cannot be read.

    Waits on a database that is away are not served: critical. Of one that is not there, or is another version's, and of
    a mistake in the command nobody can tell.
    """
    away = isinstance(error, DatabaseError) and not isinstance(error, DatabaseNotFoundError)
    return Status(Severity.CRITICAL if away else Severity.UNKNOWN, error.message)


def _serving(service: Service, summary: PendingWaitsSummary, limits: Limits) -> tuple[Severity, str]:
    age = summary.last_tick_age
    ticked = "no tick has run yet" if age is None else f"the last tick was {format_timedelta(age)} ago"
    overdue = f"{in_words(summary.counts.overdue)} overdue"
    if (seconds := summary.oldest_overdue_seconds) is not None:
        overdue += f", the oldest for {format_timedelta(timedelta(seconds=seconds))}"
    match service:
        case Service.SERVED:
            return Severity.OK, f"{in_words(summary.counts.open)} open, {overdue}, {ticked}"
        case Service.SLOW:
            return Severity.WARNING, f"slow: {overdue}; ticks end waits, and fall behind"
        case Service.STALLED:
            return Severity.CRITICAL, f"stalled: {overdue}; ticks run and end nothing of it"
        case Service.DEAD:
            return Severity.CRITICAL, f"dead: {ticked}; {overdue}"


def _clock(summary: PendingWaitsSummary, *, is_sqlite: bool) -> list[tuple[Severity, str]]:
    """What a last tick in the future means: on SQLite no tick runs; elsewhere they do, and nobody can tell when not."""
    if (ahead := summary.last_tick_ahead) is None:
        return []
    said = f"the last tick was {format_timedelta(ahead)} in the future"
    if is_sqlite:
        return [(Severity.CRITICAL, f"the clock is behind: {said}, and no tick runs until it is put right")]
    return [(Severity.WARNING, f"the server's clock is behind: {said}")]


def _perfdata(summary: PendingWaitsSummary, limits: Limits) -> str:
    """Values with their units and critical or warning limits, as the plugins' guidelines have them."""
    tick_age = summary.last_tick_age
    seconds = [
        ("overdue_age", summary.oldest_overdue_seconds or 0, limits.max_overdue),
        *([] if tick_age is None else [("tick_age", int(tick_age.total_seconds()), limits.max_tick_age)]),
    ]
    counts = [
        ("open", summary.counts.open, None),
        ("overdue", summary.counts.overdue, None),
        ("dead", summary.deliveries_dead, limits.max_dead),
        ("held", summary.deliveries_held, limits.max_held),
        ("quarantined", summary.quarantined, limits.max_quarantined),
    ]
    return " ".join(
        [
            *(f"{name}={value}s;;{int(most.total_seconds())};0" for name, value, most in seconds),
            *(f"{name}={told(value)};{'' if most is None else most};;0" for name, value, most in counts),
        ]
    )
