"""Another context for an open wait; one whose date or zone stands there moves with it."""

from __future__ import annotations

from datetime import datetime

from waitctl.application.calendars.opening_rules import with_zone_rules
from waitctl.application.contacts import ContactZones, zone_today
from waitctl.application.waits.rescheduling import ReschedulingService
from waitctl.application.waits.results import WaitStatus
from waitctl.domain.contacts import TZ_FIELD
from waitctl.domain.errors import ConflictError, InvalidWaitDateError
from waitctl.domain.instants import format_instant, show
from waitctl.domain.intents import Past, Rules, read_again
from waitctl.domain.schedule import IntentResolver, Schedule
from waitctl.domain.text import JsonObject, check_json_object, check_reason
from waitctl.domain.values import replace
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.database import Connection
from waitctl.infrastructure.store import rescheduling as store

_TRIES = 5


def merged(document: JsonObject, patch: JsonObject) -> JsonObject:
    """A JSON merge patch (RFC 7396): what is null goes, objects are merged, all else is replaced."""
    found = dict(document)
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            before = found.get(key)
            found[key] = merged(before if isinstance(before, dict) else {}, value)
        else:
            found[key] = value
    return found


class UpdatingService(ReschedulingService):
    """Changes what an open wait knows. Every change is in the audit trail."""

    def update_wait(
        self, wait_id: str, *, context: JsonObject, merge: bool = False, reason: str | None = None
    ) -> tuple[WaitStatus, tuple[str, ...]]:
        """Give an open wait another context, or a merge patch of the one that it has (RFC 7396).

        A date that was read from a field of the context is read again, and so is its zone: the wait moves, whatever
        somebody set by hand before. Returns the wait, and why it came out so when it moved. Raises
        `InvalidWaitDateError` for a date that is not there or has passed, `InvalidTimezoneError`,
        `IllegalTransitionError` or `WaitExecutionExpiredError` when the wait has ended.
        """
        check_json_object(context, "the context")
        if reason is not None:
            check_reason(reason)
        full = self._waits.find_wait_id(wait_id)
        zones = ContactZones(self._database)

        def work(connection: Connection) -> tuple[WaitStatus, tuple[str, ...]]:
            for _ in range(_TRIES):
                wait = self._get_open(connection, full)
                now = self._database.clock(connection)
                given = merged(wait.context or {}, context) if merge else context
                check_json_object(given, "the context")
                updated = replace(wait, context=given)
                changed, schedule = self._moved(wait, replace(updated, timezone=zone_today(updated, zones)), now)
                said = f": {format_instant(schedule.at)}" if schedule else ""
                landed = self._write([(wait, changed, reason or f"context updated{said}")], connection)
                if landed and store.change_context(connection, full, given, now=now):
                    result = WaitStatus(self._get_open(connection, full), now)
                    return result, schedule.explanation if schedule else ()
            raise ConflictError("the wait keeps changing under this command", hint="run it again")

        return self._database.write(work)

    def _moved(
        self, wait: WaitStepExecution, updated: WaitStepExecution, now: datetime
    ) -> tuple[WaitStepExecution, Schedule | None]:
        """The wait as its new context has it; and how its instant came about, if that or its zone is another."""
        config, zone = wait.wait_config, updated.timezone
        if "field" not in config:
            if zone == wait.timezone or TZ_FIELD not in config:
                return updated, None
            schedule = self._from_intent(updated, zone)
        else:
            intent = read_again(config, updated.context)
            date = intent.to_config()["date"]
            if date == config["date"] and zone == wait.timezone:
                return updated, None
            rules = Rules.from_config(config)
            resolver = IntentResolver(intent, zone, rules, self._host_rules.calendar(rules))
            schedule = resolver.resolve(now, wait.id)
            if min(schedule.at, resolver.delay(now).at) < now and intent.past is Past.REJECT:
                raise InvalidWaitDateError(
                    f"the date has passed: {show(schedule.at, zone)}",
                    hint="waitctl resume WAIT ends it now, waitctl cancel WAIT without a delivery",
                )
            config = {key: value for key, value in config.items() if key != "rescheduled"} | {"date": date}
        changed = replace(updated, wait_config=with_zone_rules(config, zone))
        at = schedule.at if schedule else None
        if wait.scheduled_at is None:
            return replace(changed, timeout_at=at), schedule
        return replace(changed, scheduled_at=at), schedule
