"""Any sequence of create, record, cancel, resume and tick against a model of what waits are."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.scene import Scene
from waitctl import Rules, parse_hours
from waitctl.domain.errors import ConflictError

CONTACTS, STEPS, TYPES = ("ada", "eve"), ("1", "2"), ("email_open", "sms_reply")


@dataclass
class Wait:
    """One wait of the model; instants are minutes after noon."""

    execution: str
    step: str
    contact: str
    due: int | None = None
    type: str = ""
    since: int = 0
    deadline: int | None = None
    windowed: bool = False
    status: str = "open"
    event: int | None = None
    moves: int = 0


WINDOW = parse_hours(",".join(f"{hour:02}:00-{hour:02}:30" for hour in range(24)))
TOLERANCE = 5


def opening(minute: int) -> int:
    """The window of every wait that has one: the first half of each hour."""
    return minute if minute % 60 < 30 else (minute // 60 + 1) * 60


class Model:
    """What the waits should be: no database, no SQL, no clock of its own."""

    def __init__(self) -> None:
        self.waits: list[Wait] = []
        self.events: list[tuple[str, str, int]] = []

    def open_wait(self, execution: str, step: str) -> int | None:
        places = [(wait.execution, wait.step) if wait.status == "open" else None for wait in self.waits]
        return places.index((execution, step)) if (execution, step) in places else None

    def fits(self, wait: Wait, number: int) -> bool:
        event_type, contact, at = self.events[number]
        taken = any(
            each.event == number and each.execution == wait.execution and each.status == "resumed"
            for each in self.waits
        )
        in_time = at >= wait.since and (wait.deadline is None or at < wait.deadline)
        listens = wait.status == "open" and wait.due is None
        return listens and (wait.type, wait.contact) == (event_type, contact) and in_time and not taken

    def match(self, wait: Wait, number: int, now: int) -> None:
        came = self.events[number][2]
        at = came if now - came <= TOLERANCE else now
        wait.event = number
        if wait.windowed and opening(at) != at:
            wait.due, wait.deadline, wait.moves = opening(at), None, wait.moves + 1
        else:
            wait.status = "resumed"

    def create(self, wait: Wait, now: int) -> None:
        self.waits.append(wait)
        for number in range(len(self.events)):
            if self.fits(wait, number):
                self.match(wait, number, now)

    def record(self, event: tuple[str, str, int]) -> set[int]:
        self.events.append(event)
        number = len(self.events) - 1
        matched = [place for place, wait in enumerate(self.waits) if self.fits(wait, number)]
        for place in matched:
            self.match(self.waits[place], number, event[2])
        return {place for place in matched if self.waits[place].status == "resumed"}

    def tick(self, now: int) -> None:
        for wait in self.waits:
            if wait.status == "open" and wait.due is not None and wait.due <= now:
                if wait.windowed and now - wait.due > TOLERANCE and opening(now) != now:
                    wait.due, wait.moves = opening(now), wait.moves + 1
                else:
                    wait.status = "resumed"
            if wait.status == "open" and wait.deadline is not None and wait.deadline <= now:
                wait.status = "timeout"


class Machine(RuleBasedStateMachine):
    """Does the same to waitctl and to the model."""

    scene: ClassVar[Scene]

    @initialize()
    def start(self) -> None:
        self.model, self.ids, self.now = Model(), list[str](), 0
        self.run = uuid.uuid4().hex[:8]  # a world of its own in the same database
        self.scene.at(0)

    def contact(self, name: str) -> str:
        return f"{name}-{self.run}"

    @rule(minutes=st.integers(1, 40))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes
        self.scene.at(self.now)

    @rule(
        execution=st.sampled_from("xy"), step=st.sampled_from(STEPS), minutes=st.integers(1, 60), windowed=st.booleans()
    )
    def create_time_wait(self, execution: str, step: str, minutes: int, windowed: bool) -> None:
        due = self.now + minutes
        wait = Wait(execution, step, "ada", due=opening(due) if windowed else due, windowed=windowed)
        self.create(
            wait,
            lambda: (
                self.scene.create(
                    f"{minutes}m",
                    f"{execution}-{self.run}",
                    step_id=step,
                    handler="h",
                    context={"n": len(self.ids)},
                    rules=Rules(window=WINDOW if windowed else None),
                ).wait.id
            ),
        )

    @rule(
        execution=st.sampled_from("xy"),
        step=st.sampled_from(STEPS),
        contact=st.sampled_from(CONTACTS),
        event_type=st.sampled_from(TYPES),
        timeout=st.none() | st.integers(1, 60),
        lookback=st.sampled_from([0, 1, 30]),
        windowed=st.booleans(),
    )
    def create_event_wait(
        self,
        execution: str,
        step: str,
        contact: str,
        event_type: str,
        timeout: int | None,
        lookback: int,
        windowed: bool,
    ) -> None:
        deadline = None if timeout is None else self.now + timeout
        wait = Wait(
            execution, step, contact, type=event_type, since=self.now - lookback, deadline=deadline, windowed=windowed
        )
        self.create(
            wait,
            lambda: (
                self.scene.listen(
                    event_type,
                    execution=f"{execution}-{self.run}",
                    step_id=step,
                    contact=self.contact(contact),
                    timeout=f"{timeout}m" if timeout else None,
                    lookback=f"{lookback}m",
                    handler="h",
                    context={"n": len(self.ids)},
                    rules=Rules(window=WINDOW if windowed else None),
                ).id
            ),
        )

    def create(self, wait: Wait, make: object) -> None:
        assert callable(make)
        if self.model.open_wait(wait.execution, wait.step) is not None:
            with pytest.raises(ConflictError):
                make()
            return
        self.ids.append(make())
        self.model.create(wait, self.now)

    @rule(event_type=st.sampled_from(TYPES), contact=st.sampled_from(CONTACTS), again=st.booleans())
    def record(self, event_type: str, contact: str, again: bool) -> None:
        external_id = f"{self.run}-{len(self.model.events)}"
        expected = self.model.record((event_type, contact, self.now))
        result = self.scene.record(event_type, self.contact(contact), external_id=external_id)
        assert set(result.matched) == {self.ids[place] for place in expected}
        if again:
            assert self.scene.record(event_type, self.contact(contact), external_id=external_id).duplicate

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), how=st.sampled_from(["cancel", "resume"]))
    def end_by_hand(self, data: st.DataObject, how: str) -> None:
        place = data.draw(st.integers(0, len(self.ids) - 1))
        wait = self.model.waits[place]
        end = getattr(self.scene.waits, f"{how}_wait")
        too_late = how == "resume" and wait.deadline is not None and wait.deadline <= self.now
        if wait.status == "open" and not too_late:
            wait.status = {"cancel": "cancelled", "resume": "resumed"}[how]
            end(self.ids[place])
        elif (wait.status, how) == ("cancelled", "cancel"):
            end(self.ids[place])
        else:
            with pytest.raises(ConflictError):
                end(self.ids[place])

    @rule(batch_size=st.sampled_from([1, 1000]))
    def tick(self, batch_size: int) -> None:
        self.scene.tick(batch_size=batch_size)
        self.model.tick(self.now)

    @invariant()
    def agree(self) -> None:
        if not getattr(self, "ids", None):
            return
        for wait_id, expected in zip(self.ids, self.model.waits, strict=True):
            found = self.scene.get(wait_id)
            assert ("open" if found.status.is_open else found.status) == expected.status
            assert (found.resolution_event_id is not None) == (expected.event is not None)
            # The outbox and the audit follow the outcome, each once.
            assert len(found.deliveries) == (expected.status in {"resumed", "timeout"})
            assert len(self.scene.waits.get_history(wait_id)) == 1 + expected.moves + (expected.status != "open")
            active = [listener for listener in found.listeners if listener.status == "active"]
            assert len(active) == (expected.status == "open" and expected.due is None)


@pytest.fixture
def scene(url: str, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(url)
    yield scene
    scene.database.close()


def test_waitctl_does_what_the_model_says(scene: Scene) -> None:
    machine = type("MachineOnOneDatabase", (Machine,), {"scene": scene})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
