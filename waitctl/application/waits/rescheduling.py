"""Why a wait ends when it does, and how to change that: explain, reschedule, replan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import partial

from waitctl.application.calendars.opening_rules import HostOpeningRules, with_zone_rules
from waitctl.application.contacts import ContactZones, zone_today
from waitctl.application.documents import instant
from waitctl.application.id_lookup import WAIT
from waitctl.application.waits.changes import (
    Change,
    MovedWait,
    Open,
    Replan,
    check_still_to_come,
    is_waiting,
    movable_instant,
    replanned,
    see,
)
from waitctl.application.waits.explaining import explain_event_wait
from waitctl.application.waits.results import WaitStatus
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.domain import clocks
from waitctl.domain.durations import duration_text, parse_offset
from waitctl.domain.errors import (
    ConflictError,
    InvalidInputError,
    InvalidWaitConfigurationError,
    InvalidWaitDateError,
)
from waitctl.domain.events import topic_bucket
from waitctl.domain.filters import WaitFilter
from waitctl.domain.hours import parse_hours
from waitctl.domain.instants import Adjustment, check_zone, format_instant, parse_instant, show
from waitctl.domain.intents import (
    Rules,
    UntilDate,
    UntilTime,
    date_text,
    parse_until_date,
    read_intent,
    reading_config,
    rescheduled,
    set_by_hand,
)
from waitctl.domain.late import late_policy
from waitctl.domain.listeners import EventQuery
from waitctl.domain.opening_rules import OpeningRules
from waitctl.domain.schedule import IntentResolver, Schedule
from waitctl.domain.statuses import WaitType
from waitctl.domain.templates import LateBinding
from waitctl.domain.text import JsonObject, check_reason
from waitctl.domain.values import replace
from waitctl.domain.waits import NUMBER, RECURRENCE, WaitStepExecution
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.store import rescheduling as store
from waitctl.infrastructure.store import waits as wait_store
from waitctl.infrastructure.store.rescheduling import DeadlineChange, Rescheduled
from waitctl.infrastructure.zone_rules import tzdata_version

_PAGE = 1000
_TRIES = 5


class ReschedulingService:
    """Explains the instants of stored waits and changes those of open ones. Every change is in the audit trail."""

    def __init__(self, database: Database | str, *, actor: str = "api", settings: Settings | None = None) -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._actor = actor
        self._host_rules = HostOpeningRules(settings)
        self._waits = WaitSchedulingService(self._database, actor=actor, settings=settings)

    # -- explain --------------------------------------------------------------------------------------------------

    def explain_wait(self, wait_id: str, *, newest: int | None = None) -> tuple[WaitStatus, tuple[str, ...]]:
        """A wait, and how its instant came about: what was asked, every rule that moved it, every change since.

        ``newest``: how many lines of a long trail are looked at for those changes, the last ones.

        Raises what `WaitSchedulingService.find_wait_id` raises, `UnknownCalendarError` for a calendar that only
        another host knows, and `InvalidWaitConfigurationError` for a row that something else has written.
        """
        found = self._waits.get_wait_status(wait_id)
        wait, lines = found.wait, list[str]()
        with reading_config():
            asked_config = {key: value for key, value in wait.wait_config.items() if key != "rescheduled"}
        planned = self._from_intent(replace(wait, wait_config=asked_config), wait.timezone)
        if wait.wait_type is WaitType.FOR_EVENT:
            lines += explain_event_wait(EventQuery.from_config(asked_config), wait, planned)
        elif planned is not None:
            lines += planned.explanation
        if RECURRENCE in wait.wait_config:
            lines.append(f"occurrence {wait.wait_config[NUMBER]} of the recurrence {wait.wait_config[RECURRENCE]}")
        if (binding := LateBinding.of_config(wait.wait_config)) is not None:
            lines.append(f"template {binding}")
        local = self._local_time_set(wait)
        if local is not None:
            planned = local
            lines += local.explanation
        trail = self._waits.get_history(wait.id, newest=newest)
        changes = [
            f"then: {line.reason}, by {line.actor} at {format_instant(line.at)}"
            for line in trail
            if line.from_status is not None and line.to_status.is_open
        ]
        if len(trail) == newest:
            changes.insert(0, f"then what is not shown here: waitctl explain {wait.id}")
        lines += changes
        asked = movable_instant(wait)
        may_compare = planned is not None and (not changes or local is not None)
        if may_compare and planned is not None and asked is not None and planned.at != asked:
            lines.append(
                f"zone rules or holidays have changed since: today it would be {show(planned.at, wait.timezone)}; "
                "waitctl replan moves it"
            )
        return found, tuple(lines)

    def _from_intent(self, wait: WaitStepExecution, zone: str, base: datetime | None = None) -> Schedule | None:
        """What the intent of a wait comes to by the rules of today; ``None`` for an event wait without a deadline.

        Counted from ``base``, or else from what the wait says.
        """
        config = wait.wait_config
        since = (config.get("rescheduled") or {}).get("since", config.get("from"))
        base = base or (wait.created_at if since is None else parse_instant(since, "--from"))
        rules = Rules.from_config(config)
        calendar = self._host_rules.calendar(rules)
        if wait.wait_type is WaitType.FOR_EVENT:
            query = EventQuery.from_config(config)
            return query.deadline(base, zone, *self._host_rules.calendars_of(query), wait_id=wait.id)
        return IntentResolver(read_intent(config), zone, rules, calendar).resolve(base, wait.id)

    # -- reschedule -----------------------------------------------------------------------------------------------

    def reschedule_wait(
        self,
        wait_id: str,
        *,
        at: date | str | None = None,
        by: timedelta | str | None = None,
        window: str | None = None,
        reason: str | None = None,
    ) -> tuple[WaitStatus, tuple[str, ...]]:
        """Give an open wait another instant (``at``), the same one moved (``by``, as in ``"+2h"``), or another window.

        What calendar and window do not let pass moves on to the next opening, as ever; ``window="none"`` takes the
        window away. Of a wait for events, instants are its deadline, which nothing moves. Returns the wait and why it
        came out so. Raises `InvalidWaitConfigurationError` unless exactly one is named, `InvalidWaitDateError` for an
        instant that has passed, `IllegalTransitionError` or `WaitExecutionExpiredError` when the wait has ended.
        """
        if sum(option is not None for option in (at, by, window)) != 1:
            raise InvalidWaitConfigurationError("name one of --at, --by and --window")
        if reason is not None:
            check_reason(reason)
        full = self._waits.find_wait_id(wait_id)

        def work(connection: Connection) -> tuple[WaitStatus, tuple[str, ...]]:
            for _ in range(_TRIES):
                wait = self._get_open(connection, full)
                now = self._database.clock(connection)
                if window is not None:
                    [seen] = see(connection, [wait], now)
                    changed, schedule = self._with_window(seen, window)
                else:
                    changed, schedule = self._at_another_instant(wait, at, by, now)
                to = (f"window {window}" if window else "", format_instant(schedule.at) if schedule else "")
                said = f"rescheduled: {', '.join(filter(None, to))}"
                if self._write([(wait, changed, reason or said)], connection):
                    result = WaitStatus(self._get_open(connection, full), now)
                    return result, schedule.explanation if schedule else ()
            raise ConflictError("the wait keeps changing under this command", hint="run it again")

        return self._database.write(work)

    def _at_another_instant(
        self, wait: WaitStepExecution, at: date | str | None, by: timedelta | str | None, now: datetime
    ) -> tuple[WaitStepExecution, Schedule]:
        zone, listens, moves = wait.timezone, is_waiting(wait), list[object]()
        if by is not None:
            intent, said, moves = self._moved_by(wait, duration_text(by), now)
        else:
            intent, said = parse_until_date(date_text(at or "")), None
        resolver = self._resolver_by_hand(wait, zone, intent)
        if resolver.delay(now).at < now:
            raise InvalidWaitDateError("that instant has passed", hint="waitctl resume WAIT ends it now")
        schedule = resolver.delay(now) if listens else resolver.resolve(now)
        schedule.moves = [*moves, *schedule.moves]
        if said is not None:
            schedule.asked = lambda: said
        # As it was asked for, and not what it comes to: a local time stays one when zone rules change.
        text = intent.to_config()["date"]
        config = set_by_hand(wait.wait_config, **{"deadline" if listens else "at": text})
        changed = replace(wait, wait_config=with_zone_rules(config, zone))
        if listens:
            return replace(changed, timeout_at=schedule.at), schedule
        return replace(changed, scheduled_at=schedule.at), schedule

    def _moved_by(self, wait: WaitStepExecution, by: str, now: datetime) -> tuple[UntilDate, str, list[object]]:
        """The instant so long before or after the wait's own; that in words, and what moved it."""
        current = movable_instant(wait)
        if current is None:
            raise InvalidWaitConfigurationError("the wait has no deadline to move", hint="--at INSTANT sets one")
        offset = parse_offset(by)
        by_watch = offset.duration.is_elapsed and not offset.duration.days
        meant = current if by_watch else self._local_time_meant(wait, current) or current
        moved = self._resolver_by_hand(wait, wait.timezone, UntilDate(meant, offset)).delay(now)
        return UntilDate(moved.at), f"{offset} from {show(current, wait.timezone)}", list(moved.moves)

    def _local_time_meant(self, wait: WaitStepExecution, current: datetime) -> clocks.PlainDateTime | None:
        """The local time that ``current`` stands for, when clocks skip that: days are counted from it."""
        with suppress(InvalidInputError):  # what it was asked for leads to nothing any more
            planned = self._set_by_hand(wait, wait.timezone) or self._from_intent(wait, wait.timezone)
            last = planned.moves[-1] if planned is not None and planned.at == current and planned.moves else None
            if isinstance(last, Adjustment) and last.kind == "gap" and last.zone == wait.timezone:
                return last.asked
        return None

    def _resolver_by_hand(self, wait: WaitStepExecution, zone: str, intent: UntilDate) -> IntentResolver:
        """What was set by hand passes calendar and window, but not the weekdays that a time of day was asked for."""
        rules = Rules.from_config(wait.wait_config)
        return IntentResolver(intent, zone, rules, self._host_rules.calendar(rules))

    def _set_by_hand(self, wait: WaitStepExecution, zone: str) -> Schedule | None:
        """What an instant or a deadline that was set by hand comes to today; ``None`` when nobody set one."""
        changed, listens = wait.wait_config.get("rescheduled") or {}, is_waiting(wait)
        text = changed.get("deadline" if listens else "at")
        if text is None:
            return None
        resolver = self._resolver_by_hand(wait, zone, parse_until_date(text))
        schedule = resolver.delay(wait.created_at) if listens else resolver.resolve(wait.created_at)
        asked = schedule.asked()
        schedule.asked = lambda: f"set otherwise than asked: {asked}"
        return schedule

    def _local_time_set(self, wait: WaitStepExecution) -> Schedule | None:
        """What was set by hand, when it was a local time."""
        changed = wait.wait_config.get("rescheduled") or {}
        text = changed.get("deadline" if is_waiting(wait) else "at")
        if text is None or isinstance(parse_until_date(text).moment, datetime):
            return None
        return self._set_by_hand(wait, wait.timezone)

    def _with_window(self, seen: Open, window: str) -> tuple[WaitStepExecution, Schedule | None]:
        wait, now = seen.wait, seen.now
        text = "" if window == "none" else str(parse_hours(window, "--window"))
        changed = replace(wait, wait_config=set_by_hand(wait.wait_config, window=text))
        rules, opening_rules = self._rules_and_opening_rules(changed)
        opening_rules.next_opening(now)  # one that never opens is refused here
        changed = replace(changed, late_policy=late_policy(rules, opening_rules))
        if is_waiting(wait) and not wait.wait_config.get("timeout_window"):
            return changed, None
        schedule, config = self._planned(replace(seen, wait=changed), wait.timezone)
        if is_waiting(wait):
            if schedule is None or schedule.at <= now:
                return changed, None
            config = with_zone_rules(config, wait.timezone)
            return replace(changed, timeout_at=schedule.at, wait_config=config), schedule
        assert schedule is not None
        if schedule.at < now:
            opening, moves = opening_rules.next_opening(now)
            schedule = Schedule(opening, lambda: f"that instant has passed: from {show(now, wait.timezone)} on", moves)
            config = rescheduled(config, at=opening)  # else a replan would move it back
        return replace(changed, scheduled_at=schedule.at, wait_config=with_zone_rules(config, wait.timezone)), schedule

    # -- replan ---------------------------------------------------------------------------------------------------

    def replan(
        self, wanted: WaitFilter | None = None, *, zone: str | None = None, apply: bool = False, cap: int = 1000
    ) -> Replan:
        """Compute open waits anew from what was asked: zone rules, holidays or calendars may have changed.

        ``zone`` gives them another zone. Without ``apply`` nothing is written. Waits that are overdue stay as they are,
        and instants that somebody set by hand only pass calendar and window again. No wait becomes due by it: a time of
        day means the next such time after now, and what else would lie in the past stays, and is reported as failed.
        Raises `ReplanTooLargeError` when ``apply`` would change more than ``cap`` waits.
        """
        found, moved = self._replan(wanted or WaitFilter(), zone)
        found.check_cap(cap if apply else None)
        return replace(found, applied=self._apply(moved)) if apply else found

    def _replan(self, wanted: WaitFilter, zone: str | None) -> tuple[Replan, list[MovedWait]]:
        if zone is not None:
            check_zone(zone)
        checked, changes, failed = 0, [], []
        zones = ContactZones(self._database)
        moved: list[MovedWait] = []
        for seen in self._open_waits(wanted):
            wait, place, checked = seen.wait, zone or seen.wait.timezone, checked + 1
            before = movable_instant(wait)
            if before is not None and before <= seen.now:
                continue  # a deadline that has passed decides, though no tick has seen it yet
            try:
                if zone is None:
                    place = zone_today(wait, zones)
                planned, config = self._planned(seen, place)
                after = planned.at if planned else None
                if before == after and place == wait.timezone:
                    continue
                check_still_to_come(after, seen.now, place)
            except InvalidInputError as error:
                failed.append((wait.id, error.message))
                continue
            changes.append(Change(wait, before, after, place, planned.explanation if planned else ()))
            changed = replanned(replace(wait, wait_config=with_zone_rules(config, place), timezone=place), after)
            moved.append((wait, changed, f"replanned: {_said(wait, before, after, place)}"))
        return Replan(checked, tuple(changes), tuple(failed)), moved

    def _open_waits(self, wanted: WaitFilter) -> Iterator[Open]:
        after: str | None = None
        while True:
            with self._database.read() as connection:
                now = self._database.clock(connection)
                page = store.open_waits(connection, wanted, now=now, limit=_PAGE, after=after)
                seen = see(connection, page, now)
            yield from seen
            if len(page) < _PAGE:
                return
            after = page[-1].id

    def _planned(self, seen: Open, zone: str) -> tuple[Schedule | None, JsonObject]:
        """What a wait comes to by the rules of today, and the ``wait_config`` that says so.

        What was set by hand only passes calendar and window again.
        """
        wait = seen.wait
        by_hand = self._set_by_hand(wait, zone)
        if by_hand is not None:
            return by_hand, wait.wait_config
        if wait.resolution_event_id is not None:
            return self._since_its_event(seen, zone), wait.wait_config
        planned = self._from_intent(wait, zone)
        if wait.wait_type is WaitType.UNTIL_TIME and planned is not None and planned.at <= seen.now:
            # That time of day is over in this zone or by these rules: the next one, and from now on counted from here.
            return self._from_intent(wait, zone, seen.now), rescheduled(wait.wait_config, since=seen.now)
        return planned, wait.wait_config

    def _since_its_event(self, seen: Open, zone: str) -> Schedule:
        """The first opening since the event that scheduled a wait; one that has passed meanwhile does not count."""
        came_at, opening_rules = (
            self._host_rules.came_at(seen.received_at, seen.taken_at),
            self._opening_rules(seen.wait, zone),
        )
        opening, moves = opening_rules.next_opening(came_at)
        if opening < seen.now:
            opening, moves = opening_rules.next_opening(seen.now)
        span = Rules.from_config(seen.wait.wait_config).spread
        if span is not None and moves:
            spread = opening_rules.spread(opening, span.elapsed, seen.wait.id)
            opening, moves = opening + spread.moved, (*moves, spread)
        return Schedule(opening, lambda: f"its event came at {show(came_at, zone)}", moves)

    def _apply(self, moved: Sequence[MovedWait]) -> int:
        applied = 0
        for start in range(0, len(moved), _PAGE):
            part = moved[start : start + _PAGE]
            applied += len(self._database.write(partial(self._write, part)))
        return applied

    # -- both -----------------------------------------------------------------------------------------------------

    def _write(self, changes: Sequence[MovedWait], connection: Connection) -> set[str]:
        """Write changed waits, each with its reason, where they still are as they were. Returns which have landed."""
        waiting = [each for each in changes if is_waiting(each[0])]
        scheduled = [each for each in changes if not is_waiting(each[0])]
        landed = set[str]()
        topics = {(each.event_type, each.contact_id) for wait, _, _ in waiting for each in wait.listeners}
        now = self._database.lock_topics(connection, [topic_bucket(*topic) for topic in topics], exclusive=True)
        if waiting:
            redirected = [self._deadline_change(*each) for each in waiting]
            landed |= store.change_deadlines(connection, redirected, now=now, actor=self._actor)
        if scheduled:
            moved = [self._rescheduled(*each) for each in scheduled]
            landed |= store.reschedule_waits(connection, moved, now=now, actor=self._actor)
        return landed

    def _rescheduled(self, wait: WaitStepExecution, changed: WaitStepExecution, reason: str) -> Rescheduled:
        assert wait.scheduled_at is not None
        assert changed.scheduled_at is not None
        return Rescheduled(
            wait.id,
            wait.scheduled_at,
            changed.scheduled_at,
            changed.wait_config,
            changed.late_policy,
            changed.timezone,
            self._database.dated(reason),
        )

    def _deadline_change(self, wait: WaitStepExecution, changed: WaitStepExecution, reason: str) -> DeadlineChange:
        query = EventQuery.from_config(changed.wait_config)
        grace = query.grace.elapsed
        return DeadlineChange(
            wait.id,
            changed.timeout_at,
            changed.timeout_at + grace if changed.timeout_at else None,
            query.rules.are_gated,
            changed.wait_config,
            changed.late_policy,
            changed.timezone,
            self._database.dated(reason),
        )

    def _rules_and_opening_rules(self, wait: WaitStepExecution) -> tuple[Rules, OpeningRules]:
        rules = Rules.from_config(wait.wait_config)
        intent = None if wait.wait_type is WaitType.FOR_EVENT else read_intent(wait.wait_config)
        weekdays = intent.days if isinstance(intent, UntilTime) else None
        return rules, OpeningRules(wait.timezone, rules, self._host_rules.calendar(rules), weekdays)

    def _opening_rules(self, wait: WaitStepExecution, zone: str) -> OpeningRules:
        """Calendar and window of a wait, without the weekdays that its time of day was asked for."""
        rules = Rules.from_config(wait.wait_config)
        return OpeningRules(zone, rules, self._host_rules.calendar(rules))

    def _get_open(self, connection: Connection, wait_id: str) -> WaitStepExecution:
        wait = wait_store.get_wait(connection, wait_id)
        if wait is None:
            raise WAIT.not_found(wait_id)
        wait.check_open("rescheduled")
        wait.check_listeners()  # a deadline is kept with them
        return wait


def _said(wait: WaitStepExecution, before: datetime | None, after: datetime | None, zone: str) -> str:
    versions = (wait.wait_config.get("tzdata"), tzdata_version(zone))
    rules = f", zone rules {versions[0]} → {versions[1]}" if versions[0] not in {None, versions[1]} else ""
    place = f", zone {wait.timezone} → {zone}" if zone != wait.timezone else ""
    return f"{instant(before)} → {instant(after)}{rules}{place}"
