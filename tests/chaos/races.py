"""Two who want the same thing at one moment: the eleven races, round after round, each with its one right outcome."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial

from tests.chaos.stage import Stage
from tests.interleaving import KNOWN, at_once, database_errors
from tests.invariants import invariants
from waitctl import (
    Database,
    Duration,
    EventQuery,
    EventService,
    Settings,
    Tick,
    TickOptions,
    TickReport,
    WaitSchedulingService,
    WaitSpec,
    make_event,
)
from waitctl.application.processor.run import Phase
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import IllegalTransitionError, WaitExecutionExpiredError
from waitctl.domain.handlers import ExecConfig, HandlerConfig
from waitctl.domain.listeners import Mode
from waitctl.domain.statuses import Resolution
from waitctl.infrastructure.database import host_clock

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
OPEN, CLICK = "email_open", "email_click"
HANDLERS = {"nudge": HandlerConfig("nudge", ExecConfig(("/bin/true",)))}


class Racer:
    """Somebody with connections of his own."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.waits = WaitSchedulingService(self.database)
        self.events = EventService(self.database)

    def close(self) -> None:
        """Let go of the connections."""
        self.database.close()

    def tick(self, *phases: Phase) -> TickReport:
        """These phases, until they find nothing more."""
        options = TickOptions(only=frozenset(phases))
        return Tick(self.database, Settings(str(self.database.url), handlers=HANDLERS), options).run()

    def due(self, name: str, handler: str | None = None) -> str:
        """The id of a wait that is due already."""
        return self.waits.create_fixed_time_wait("1m", WaitSpec(name, handler=handler), base=LONG_AGO).wait.id

    def listening(self, name: str, query: EventQuery, base: datetime | None = None) -> str:
        """The id of a wait for events of the contact ``name``."""
        return self.waits.create_event_wait(query, WaitSpec(name, contact_id=name), base=base).wait.id

    def matched(self, contact: str, event_type: str = OPEN) -> tuple[str, ...]:
        """The waits that an event of the contact, recorded now, ends."""
        return self.events.record(make_event(event_type, contact)).matched

    def ends(self, act: Callable[[str], object], wait_id: str) -> bool:
        """Whether ``act`` came in time to end the wait."""
        try:
            act(wait_id)
        except (IllegalTransitionError, WaitExecutionExpiredError):
            return False
        return True

    def resolution(self, wait_id: str) -> Resolution | None:
        """How the wait has ended."""
        return self.waits.get_wait_status(wait_id).wait.resolution


def two_ticks_at_a_due_wait(one: Racer, other: Racer, name: str) -> None:
    """One of them resumes it."""
    one.due(name)
    reports = at_once(partial(one.tick, Phase.DUE), partial(other.tick, Phase.DUE))
    assert sum(report.resumed for report in reports) == 1


def two_ticks_at_a_delivery(one: Racer, other: Racer, name: str) -> None:
    """One of them hands it out."""
    one.due(name, "nudge")
    one.tick(Phase.DUE)
    reports = at_once(partial(one.tick, Phase.DELIVER), partial(other.tick, Phase.DELIVER))
    assert sum(report.delivered for report in reports) == 1


def cancel_against_tick(one: Racer, other: Racer, name: str) -> None:
    """It is cancelled or resumed."""
    wait_id = one.due(name)
    cancelled, report = at_once(partial(one.ends, one.waits.cancel_wait, wait_id), partial(other.tick, Phase.DUE))
    assert cancelled + report.resumed == 1


def resume_against_tick(one: Racer, other: Racer, name: str) -> None:
    """It is resumed by hand or since it was due."""
    wait_id = one.due(name)
    by_hand, report = at_once(partial(one.ends, one.waits.resume_wait, wait_id), partial(other.tick, Phase.DUE))
    assert by_hand + report.resumed == 1


def cancel_against_event(one: Racer, other: Racer, name: str) -> None:
    """It is cancelled or hears the event."""
    wait_id = one.listening(name, EventQuery((OPEN,)))
    cancelled, matched = at_once(partial(one.ends, one.waits.cancel_wait, wait_id), partial(other.matched, name))
    assert cancelled + len(matched) == 1


def event_against_timeout(one: Racer, other: Racer, name: str) -> None:
    """The deadline decides, not who was faster: an event that is matched came before it."""
    deadline = host_clock() + timedelta(milliseconds=3)
    query = EventQuery((OPEN,), timeout=parse_duration("1m"))
    wait_id = one.listening(name, query, base=deadline - timedelta(minutes=1))
    matched, report = at_once(partial(one.matched, name), partial(other.tick, Phase.EXPIRED))
    assert len(matched) + report.timed_out <= 1
    while one.resolution(wait_id) is None:
        report = other.tick(Phase.EXPIRED)
    assert one.resolution(wait_id) is (Resolution.EVENT if matched else Resolution.TIMEOUT)


def create_against_record(one: Racer, other: Racer, name: str) -> None:
    """Whichever is first, the wait hears the event: it looks back, or is matched."""
    created, matched = at_once(
        partial(one.waits.create_event_wait, EventQuery((OPEN,)), WaitSpec(name, contact_id=name)),
        partial(other.matched, name),
    )
    assert (created.wait.resolution is Resolution.EVENT) != (matched == (created.wait.id,))
    assert one.resolution(created.wait.id) is Resolution.EVENT


def creates_of_one_key(one: Racer, other: Racer, name: str) -> None:
    """One of them makes the wait, the other one gets it."""
    specs = [WaitSpec(name, step, idempotency_key=name) for step in ("a", "b")]
    made = at_once(
        partial(one.waits.create_fixed_time_wait, "3d", specs[0]),
        partial(other.waits.create_fixed_time_wait, "3d", specs[1]),
    )
    assert sorted(result.created for result in made) == [False, True]
    assert made[0].wait.id == made[1].wait.id


def replacements_of_one_step(one: Racer, other: Racer, name: str) -> None:
    """Both make one, and one of them is open."""
    made = at_once(
        partial(one.waits.create_fixed_time_wait, Duration(1), WaitSpec(name), replace_open=True),
        partial(other.waits.create_fixed_time_wait, Duration(2), WaitSpec(name), replace_open=True),
    )
    ended = [one.resolution(result.wait.id) for result in made]
    assert sorted(map(str, ended)) == ["None", "cancelled"]


def records_of_one_event(one: Racer, other: Racer, name: str) -> None:
    """It is recorded once, and ends the wait once."""
    wait_id = one.listening(name, EventQuery((OPEN,)))
    event = make_event(OPEN, name, external_id=name, source="mail")
    recorded = at_once(partial(one.events.record, event), partial(other.events.record, event))
    assert sorted(result.duplicate for result in recorded) == [False, True]
    assert [result.matched for result in recorded if result.matched] == [(wait_id,)]


def two_halves(one: Racer, other: Racer, name: str) -> None:
    """Whichever is second completes the wait."""
    wait_id = one.listening(name, EventQuery((OPEN, CLICK), mode=Mode.ALL))
    matched = at_once(partial(one.matched, name, OPEN), partial(other.matched, name, CLICK))
    assert sorted(matched) == [(), (wait_id,)]


RACES = (
    two_ticks_at_a_due_wait,
    two_ticks_at_a_delivery,
    cancel_against_tick,
    resume_against_tick,
    cancel_against_event,
    event_against_timeout,
    create_against_record,
    creates_of_one_key,
    replacements_of_one_step,
    records_of_one_event,
    two_halves,
)


def races(stage: Stage) -> str:
    """2,000 rounds of each by night, on both databases."""
    rounds = stage.times(2_000, 10)
    for kind, url in stage.urls("races"):
        with closing(Racer(url)) as one, closing(Racer(url)) as other, database_errors() as errors:
            for race in RACES:
                for number in range(rounds):
                    try:
                        race(one, other, f"{race.__name__}-{number}")
                    except AssertionError as error:
                        raise AssertionError(f"{kind}: {race.__name__}, round {number}") from error
            assert set(errors) <= KNOWN, f"{kind}: {set(errors)}"
            with one.database.read() as connection:
                invariants(connection)
    return f"{len(RACES)} races, {rounds:,} rounds of each on both databases"
