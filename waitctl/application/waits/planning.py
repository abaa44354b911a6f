"""Where waits would go if many were rescheduled: worked out as `reschedule` does it, and written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from waitctl.application.calendars.opening_rules import with_zone_rules
from waitctl.application.waits.rescheduling import ReschedulingService, instant_of, is_waiting, see
from waitctl.domain.durations import parse_duration, parse_offset
from waitctl.domain.errors import InvalidWaitConfigurationError, InvalidWaitDateError, WaitStepError
from waitctl.domain.hours import parse_hours
from waitctl.domain.intents import MAX_SPREAD, parse_until_date, set_by_hand
from waitctl.domain.listeners import EventQuery
from waitctl.domain.plans import Fate
from waitctl.domain.spreading import share_of
from waitctl.domain.text import JsonObject, to_json
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.database import Connection
from waitctl.infrastructure.sql_values import instant_text
from waitctl.infrastructure.store.plans import PlannedMove


@dataclass(frozen=True, slots=True)
class MoveOptions:
    """Where waits are to go: an instant, the same one moved, another window; and over what span they are spread."""

    at: str | None = None
    by: str | None = None
    window: str | None = None
    spread: str | None = None

    def checked(self) -> MoveOptions:
        """The same, if it can be meant. Raises `InvalidWaitConfigurationError`, or what reading the options raises."""
        given = [name for name in ("at", "by", "window") if getattr(self, name) is not None]
        if len(given) > 1 or not (given or self.spread):
            raise InvalidWaitConfigurationError("name one of --at, --by and --window, or a --spread")
        if self.window and self.spread:
            raise InvalidWaitConfigurationError("--spread goes with --at or --by, or stands alone")
        if self.at is not None:
            parse_until_date(self.at)
        if self.by is not None:
            parse_offset(self.by)
        if self.window not in {None, "none"}:
            parse_hours(self.window or "", "--window")
        if self.spread is not None and self.span > MAX_SPREAD:
            raise InvalidWaitConfigurationError(f"--spread {self.spread} is more than a week")
        return self

    @property
    def span(self) -> timedelta:
        """What they are spread over. Raises `InvalidWaitConfigurationError`."""
        return parse_duration(self.spread or "", error=InvalidWaitConfigurationError).elapsed

    def to_json(self) -> JsonObject:
        """The options that were given."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


class MovePlanner(ReschedulingService):
    """Works out where open waits go. Nothing is written."""

    def plan(
        self, connection: Connection, found: Sequence[WaitStepExecution], options: MoveOptions
    ) -> list[PlannedMove]:
        """Where each of these waits goes, or why it cannot."""
        now = self._database.clock(connection)
        seen = see(connection, found, now) if options.window else ()
        by_id = {each.wait.id: each for each in seen}
        moves = []
        for wait in found:
            try:
                wait.check_listeners()
                if options.window is not None:
                    changed, _ = self._with_window(by_id[wait.id], options.window)
                else:
                    changed = self._moved(wait, options, now)
            except WaitStepError as error:
                moves.append(impossible(wait, error))
            else:
                moves.append(move_of(wait, changed))
        return moves

    def _moved(self, wait: WaitStepExecution, options: MoveOptions, now: datetime) -> WaitStepExecution:
        changed = wait
        if options.at is not None or options.by is not None:
            changed, _ = self._at_another_instant(wait, options.at, options.by, now)
        return changed if options.spread is None else self._spread(changed, options.span, now)

    def _spread(self, wait: WaitStepExecution, span: timedelta, now: datetime) -> WaitStepExecution:
        """The wait later by its share of ``span``, inside what is open then."""
        at = instant_of(wait)
        if at is None:
            raise InvalidWaitConfigurationError("the wait has no deadline to move", hint="--at INSTANT sets one")
        if is_waiting(wait):
            moved = at + share_of(wait.id, span)
        else:
            moved = at + self._opening_rules(wait, wait.timezone).spread(at, span, wait.id).moved
        if moved <= now:
            raise InvalidWaitDateError("that instant has passed", hint="waitctl bulk resume ends them now")
        name = "deadline" if is_waiting(wait) else "at"
        config = with_zone_rules(set_by_hand(wait.wait_config, **{name: moved}), wait.timezone)
        changed = replace(wait, wait_config=config)
        return replace(changed, timeout_at=moved) if is_waiting(wait) else replace(changed, scheduled_at=moved)


def move_of(wait: WaitStepExecution, changed: WaitStepExecution) -> PlannedMove:
    """An entry of a plan: the wait goes where ``changed`` is."""
    expires, gated = None, None
    if is_waiting(wait):
        query = EventQuery.from_config(changed.wait_config)
        expires = changed.timeout_at and changed.timeout_at + query.grace.elapsed
        gated = "1" if query.rules.are_gated else "0"
    return PlannedMove(
        wait.id,
        instant_text(wait.updated_at),
        instant_text(instant_of(changed)),
        instant_text(expires),
        to_json(changed.wait_config),
        changed.late_policy,
        changed.timezone,
        gated,
        None,
        None,
    )


def impossible(wait: WaitStepExecution, error: WaitStepError) -> PlannedMove:
    """An entry of a plan: the wait cannot go there, and why."""
    note = " ".join(error.message.split())
    nowhere = (None, None, None, None, None, None)
    return PlannedMove(wait.id, instant_text(wait.updated_at), *nowhere, note, Fate.IMPOSSIBLE.value)
