"""Look for what is wrong with a database, its processor and this host's settings. Every check stands for itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from waitctl.application.deliveries.handler_factory import configured_handlers, handlers_of, make_handler, why_held
from waitctl.application.heartbeat import REMEDY, SILENT_AFTER
from waitctl.application.inline_commands import InlineCommands
from waitctl.application.waits.results import PendingWaitsSummary
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.domain.counts import in_words, some_of
from waitctl.domain.durations import format_timedelta
from waitctl.domain.errors import CalendarRangeError, DatabaseDamagedError, UnknownCalendarError, WaitStepError
from waitctl.domain.handlers import INLINE, ExecConfig, HandlerConfig
from waitctl.domain.health import Finding, Service, State, judge_service
from waitctl.domain.pauses import Paused
from waitctl.domain.quarantine import MAX_QUARANTINED
from waitctl.domain.values import dataclass
from waitctl.infrastructure.calendars import Calendars
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Database, host_clock
from waitctl.infrastructure.file_trust import shared_folder
from waitctl.infrastructure.handlers import HandlerNotReadyError
from waitctl.infrastructure.schema_version import HEAD
from waitctl.infrastructure.store import health, pauses
from waitctl.infrastructure.zone_rules import use_newest

MAX_OVERDUE = timedelta(minutes=5)
"""How long a wait may be overdue before somebody should be told."""

_SKEW, _SOME_SKEW = timedelta(seconds=60), timedelta(seconds=5)
"""How far this host's clock may be off: what is wrong, and what is worth a word."""

_SET_IT_RIGHT = "set it right, or run: waitctl tick --ignore-clock"

_STUCK = timedelta(minutes=5)
"""How long a lease may be over without a tick that takes it up."""

_MUCH = 10_000
"""Rows or pages below which nobody need think of bloat."""

_PINNED = timedelta(hours=1)
"""How long a transaction may keep others from being cleared."""

Judged = tuple[State, str, str | None]
OK, WARN, FAIL = State.OK, State.WARN, State.FAIL


@dataclass(frozen=True, slots=True)
class Facts:
    """What several checks look at, read once, and as of ``now`` of the database."""

    settings: Settings
    database: Database
    inline: InlineCommands
    summary: PendingWaitsSummary
    progress_at: datetime | None
    lapsed: tuple[int, datetime | None]
    quarantined: Mapping[str, int]
    named: health.Named
    orphans: Mapping[str, int]
    bloat: health.Bloat
    paused: Paused
    usable: frozenset[str]
    host_now: datetime

    @property
    def now(self) -> datetime:
        """The database's clock."""
        return self.summary.now

    @property
    def real_now(self) -> datetime:
        """The same, whatever time is pretended."""
        return self.summary.real_now or self.summary.now


def read_facts(settings: Settings, database: Database, host: Callable[[], datetime]) -> Facts:
    """Look at everything once. Raises `DatabaseError`."""
    inline = InlineCommands(settings, database)
    known = [config.name for config in handlers_of(settings, database)]
    summary = WaitSchedulingService(database, settings=settings).list_pending_waits(handlers=known)
    waits_inline = any(each.handler == INLINE and each.pending + each.running for each in summary.backlogs)
    with database.read() as connection:
        return Facts(
            settings,
            database,
            inline,
            summary,
            health.progress_at(connection),
            health.lapsed_leases(connection, now=summary.now),
            health.quarantined_by_source(connection),
            health.named_by_open(connection),
            health.orphans(connection),
            health.bloat(connection),
            pauses.paused(connection),
            frozenset(known) - ({INLINE} if waits_inline and inline.count_not_ours(connection) else set()),
            host(),
        )


def examine(
    load: Callable[[], Settings],
    open_: Callable[[Settings], Database],
    *,
    host: Callable[[], datetime] = host_clock,
) -> list[Finding]:
    """Run every check. ``load`` gives the settings, ``open_`` their database: what they raise is a finding, too.

    ``host`` is this host's clock.
    """
    found: dict[str, Judged] = {"tzdata": _tzdata(frozenset())}
    broken = "config"
    try:
        settings = load()
        found["config"] = _config(settings)
        broken = "database"
        with open_(settings) as database:
            found["config"] = _handlers(settings, database) or found["config"]
            _examine_database(settings, database, found, host)
    except WaitStepError as error:  # nothing else can be found out without it
        found[broken] = (FAIL, error.message, error.hint)
    return [Finding(name, *found.get(name, (State.UNKNOWN, "not looked at: see the others", None))) for name in CHECKS]


def _examine_database(
    settings: Settings, database: Database, found: dict[str, Judged], host: Callable[[], datetime]
) -> None:
    """Add what can be found out, as far as the database lets us."""
    try:
        found["inline_key"] = _inline_key(InlineCommands(settings, database), used=False)
        revision = database.current_revision()
        found["database"] = _place(database)
    except WaitStepError as error:
        name = "integrity" if isinstance(error, DatabaseDamagedError) else "database"
        found[name] = (FAIL, error.message, error.hint)
        return
    found["schema"] = _schema(revision, database)
    if revision != HEAD:
        return
    try:
        found["integrity"] = _pages(database)
        facts = read_facts(settings, database, host)
        if (trouble := _writable(database)) is not None:
            found["database"] = trouble
    except WaitStepError as error:
        name = "integrity" if isinstance(error, DatabaseDamagedError) else "database"
        found[name] = (FAIL, error.message, error.hint)
        return
    for name, judge in _JUDGES.items():
        found[name] = judge(facts)


# -- the database ------------------------------------------------------------------------------------------------------


def _place(database: Database) -> Judged:
    """Where an SQLite file stands: SQLite goes by the names of the files beside it, whoever has made them."""
    folder = None if database.file is None else shared_folder(database.file)
    if folder is None:
        return OK, database.name, None
    return (
        WARN,
        f"{database.name}: others may make files beside it, in {folder}, and SQLite would take them for its own",
        "keep it in a folder that only its users may write to: waitctl db backup, and --database-url",
    )


def _writable(database: Database) -> Judged | None:
    with database.read() as connection:
        if database.is_read_only(connection):
            return FAIL, f"{database.name} takes no writes", "connect to the primary: target_session_attrs=read-write"
    return None


def _schema(revision: str | None, database: Database) -> Judged:
    if revision == HEAD:
        return OK, f"at head ({HEAD})", None
    at = f"at {revision or 'no migration'}: this waitctl needs {HEAD}"
    if revision is not None and revision > HEAD:
        return FAIL, at, "upgrade waitctl on this host"
    return (WARN if database.is_sqlite and revision else FAIL), at, "run: waitctl db upgrade"


def _pages(database: Database) -> Judged:
    database.check_pages()
    return OK, "every page can be read" if database.is_sqlite else "nothing is left over", None


def _integrity(facts: Facts) -> Judged:
    left = [some_of(count, *_LEFT[what]) for what, count in facts.orphans.items() if count]
    if left:
        return (
            WARN,
            ", ".join(left),
            "something else has written to these tables: find out what, and restore from a backup",
        )
    return _pages(facts.database)


_LEFT = {
    "deliveries": ("delivery without its wait", "deliveries without their wait"),
    "listeners": ("active listener of a wait that has ended", "active listeners of waits that have ended"),
    "waits": ("wait for an event that listens to nothing", "waits for an event that listen to nothing"),
}


def _bloat(facts: Facts) -> Judged:
    found = facts.bloat
    if found.pinned_for is not None and found.pinned_for > _PINNED:
        held = format_timedelta(found.pinned_for)
        return WARN, f"a transaction has been open for {held}: nothing is cleared meanwhile", _PIN_REMEDY
    if found.dead > max(found.alive, _MUCH):
        remedy = _SQLITE_BLOAT if facts.database.is_sqlite else f"look at autovacuum, or run: VACUUM {found.where}"
        return WARN, f"{found.where}: {found.dead:,} unused beside {found.alive:,} in use", remedy
    return OK, f"{found.where}: {found.dead:,} unused beside {found.alive:,} in use", None


_PIN_REMEDY = "end it: SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY xact_start"
_SQLITE_BLOAT = (
    "new waits will take the room; with retention in the config a tick gives it back, or VACUUM in sqlite3 does"
)


# -- the processor -----------------------------------------------------------------------------------------------------


def _last_tick(facts: Facts) -> Judged:
    last, age = facts.summary.last_tick, facts.summary.last_tick_age
    if last is None or age is None:
        return FAIL if facts.summary.counts.open else WARN, "no tick has run on this database yet", REMEDY
    if (ahead := facts.summary.last_tick_ahead) is not None:
        return FAIL, f"the last tick was {format_timedelta(ahead)} in the future, on {last.host}", _SET_IT_RIGHT
    said = f"{format_timedelta(age)} ago on {last.host}"
    return (FAIL, f"the last tick was {said}", REMEDY) if age > SILENT_AFTER else (OK, said, None)


def _clock(facts: Facts) -> Judged:
    if (ahead := facts.summary.last_tick_ahead) is not None:
        return FAIL, f"the clock is {format_timedelta(ahead)} behind the last tick", _SET_IT_RIGHT
    off = abs(facts.host_now - facts.real_now)
    if facts.database.is_sqlite or off <= _SOME_SKEW:
        return OK, "in step with the last tick" if facts.database.is_sqlite else "in step with the server", None
    remedy = "keep both in step: look at chronyc tracking, or timedatectl"
    return (FAIL if off > _SKEW else WARN), f"this host and the server are {format_timedelta(off)} apart", remedy


def _overdue(facts: Facts) -> Judged:
    seconds = facts.summary.oldest_overdue_seconds
    if seconds is None:
        return OK, "nothing is overdue", None
    oldest = timedelta(seconds=seconds)
    said = f"{in_words(facts.summary.counts.overdue)} overdue, the oldest for {format_timedelta(oldest)}"
    match service_of(facts.summary, facts.progress_at, max_overdue=MAX_OVERDUE, max_tick_age=SILENT_AFTER):
        case Service.SLOW:
            return (
                WARN,
                f"{said}: ticks end waits, and fall behind",
                "run more ticks, or tick --watch; look at waitctl top",
            )
        case Service.STALLED:
            return FAIL, f"{said}: ticks run and end nothing of it", "look at waitctl ticks, and run: waitctl -v tick"
        case Service.DEAD if oldest > MAX_OVERDUE:
            return FAIL, f"{said}: no tick runs", REMEDY
        case _:
            return OK, said, None


def service_of(
    summary: PendingWaitsSummary, progress_at: datetime | None, *, max_overdue: timedelta, max_tick_age: timedelta
) -> Service:
    """Whether waits are served, as `judge_service` has it."""
    seconds = summary.oldest_overdue_seconds
    return judge_service(
        oldest_overdue=None if seconds is None else timedelta(seconds=seconds),
        tick_age=summary.last_tick_age,
        progress_age=None if progress_at is None else summary.now - progress_at,
        max_overdue=max_overdue,
        max_tick_age=max_tick_age,
    )


# -- deliveries and events ---------------------------------------------------------------------------------------------


def _stuck_leases(facts: Facts) -> Judged:
    count, since = facts.lapsed
    if since is None or facts.now - since <= _STUCK:
        return OK, "no lease is over for long", None
    age = format_timedelta(facts.now - since)
    over = some_of(count, "delivery runs on a lease that is over", "deliveries run on leases that are over")
    return FAIL, f"{over}, the oldest for {age}", REMEDY


def _dead_letters(facts: Facts) -> Judged:
    dead = [f"{in_words(each.dead)} to {each.handler}" for each in facts.summary.backlogs if each.dead]
    if not dead:
        return OK, "none is dead", None
    remedy = "waitctl delivery list --status dead says why; then waitctl delivery retry --all-dead"
    return FAIL, f"dead deliveries: {', '.join(dead)}", remedy


def _held(facts: Facts) -> Judged:
    if not facts.summary.deliveries_held:
        return OK, "none is held", None
    paused = facts.paused
    reasons = {
        each.handler: why_held(each.handler, paused, facts.usable, facts.inline)
        for each in facts.summary.backlogs
        if each.pending + each.running
        if paused.everything or paused.workflows or each.handler in paused.handlers or each.handler not in facts.usable
    }
    said = "; ".join(f"to {handler}: {reason}" for handler, reason in reasons.items())
    count = some_of(facts.summary.deliveries_held, "delivery is held", "deliveries are held")
    return WARN, f"{count}: {said}", "name the handler in this host's config, or waitctl unpause"


def _quarantine(facts: Facts) -> Judged:
    if not facts.quarantined:
        return OK, "nothing is in quarantine", None
    sources = facts.settings.sources
    most = {name: sources[name].max_quarantined if name in sources else MAX_QUARANTINED for name in facts.quarantined}
    full = [name for name, count in facts.quarantined.items() if count >= most[name]]
    said = ", ".join(f"{count:,} of {most[name]:,} of {name}" for name, count in sorted(facts.quarantined.items()))
    remedy = "waitctl event quarantine list says why; then replay or drop"
    return (FAIL if full else WARN), f"{said}{': full' if full else ''}", remedy


# -- this host ---------------------------------------------------------------------------------------------------------


def _calendars(facts: Facts) -> Judged:
    calendars, year = Calendars(facts.settings.calendars), facts.now.year
    unknown: list[str] = []
    over: list[str] = []
    ending: list[str] = []
    for name in sorted({*facts.settings.calendars, *facts.named.calendars}):
        try:
            calendar = calendars.get(name)
        except UnknownCalendarError:
            unknown.append(name)
            continue
        known = [
            wanted for wanted in (year, year + 1) if wanted in calendar.years and _knows(calendar.holidays_of, wanted)
        ]
        (over if year not in known else ending if year + 1 not in known else []).append(name)
    if over:
        return FAIL, f"at their end: {', '.join(over)}", "upgrade the holidays package, or name the dates in the config"
    if unknown:
        return FAIL, f"open waits name calendars that this host does not know: {', '.join(unknown)}", _NAME_IT
    if ending:
        return WARN, f"they do not know {year + 1}: {', '.join(ending)}", "upgrade the holidays package"
    return OK, "all that are named know next year", None


_NAME_IT = "name them in the config of every host that ticks"


def _knows(holidays_of: Callable[[int], object], year: int) -> bool:
    try:
        holidays_of(year)
    except CalendarRangeError:
        return False
    return True


def _tzdata(named: frozenset[str]) -> Judged:
    rules = use_newest()
    said = ", ".join(f"{each.version or 'of unknown age'} in {each.folder}" for each in rules)
    if not rules:
        return FAIL, "there are no zone rules", "install tzdata"
    used = rules[0].version
    older = sorted(version for version in named if used is not None and version != used)
    if older:
        what = f"open waits were planned by {', '.join(older)}, and {used} is used: {said}"
        return WARN, what, "waitctl replan --dry-run shows what would change"
    return OK, f"used first: {said}", None


def _config(settings: Settings) -> Judged:
    return OK, str(settings.config_file) if settings.config_file else "there is no config file", None


def _handlers(settings: Settings, database: Database) -> Judged | None:
    """What keeps this host from using the handlers of its config; ``None`` when nothing does."""
    trouble = {config.name: _why_unready(config, settings, database) for config in configured_handlers(settings)}
    unready = "; ".join(f"{name}: {reason}" for name, reason in trouble.items() if reason is not None)
    return (
        (WARN, f"handlers that cannot be used: {unready}", "their deliveries are held until then") if unready else None
    )


def _why_unready(config: HandlerConfig, settings: Settings, database: Database) -> str | None:
    if isinstance(config.target, ExecConfig):
        program = config.target.argv[0]
        if Path(program).is_absolute() and not os.access(program, os.X_OK):
            return f"{program} cannot be run"
        return None
    if config.name == INLINE:
        return None
    try:
        make_handler(config, settings, database).close()
    except HandlerNotReadyError as error:
        return str(error)
    return None


def _inline_key(inline: InlineCommands, *, used: bool) -> Judged:
    refused = inline.why_refused()
    if refused is None:
        return OK, "inline commands can be verified", None
    return (FAIL if used else WARN), refused, "waitctl help handlers says how hosts share inline commands"


def _inline_key_used(facts: Facts) -> Judged:
    used = any(each.handler == INLINE and each.pending + each.running for each in facts.summary.backlogs)
    if not used and not facts.database.is_sqlite and not facts.settings.allow_inline_commands:
        return OK, "inline commands are not allowed here, and there are none", None
    return _inline_key(facts.inline, used=used)


CHECKS = (
    *("database", "schema", "last_tick", "clock", "overdue", "stuck_leases", "dead_letters", "held", "quarantine"),
    *("calendars", "tzdata", "integrity", "config", "inline_key", "bloat"),
)

_JUDGES: Mapping[str, Callable[[Facts], Judged]] = {
    "last_tick": _last_tick,
    "clock": _clock,
    "overdue": _overdue,
    "stuck_leases": _stuck_leases,
    "dead_letters": _dead_letters,
    "held": _held,
    "quarantine": _quarantine,
    "calendars": _calendars,
    "tzdata": lambda facts: _tzdata(facts.named.tzdata),
    "integrity": _integrity,
    "inline_key": _inline_key_used,
    "bloat": _bloat,
}
