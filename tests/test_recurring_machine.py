"""Any sequence of ticks, hands and outages against a model of what recurrences are, on both databases."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
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

from tests.invariants import invariants
from tests.scene import MINUTE, NOON, Scene
from waitctl import WaitSpec
from waitctl.application.waits.recurring import RecurrenceService
from waitctl.domain.durations import Duration
from waitctl.domain.errors import ConflictError
from waitctl.domain.recurrence import RecurrenceRule

TOLERANCE = 5


@dataclass
class Model:
    """One recurrence; instants are minutes after noon."""

    every: int
    fixed: bool
    started: int
    left: int | None
    due: int | None
    status: str = "active"
    occurrence: int = 1

    def go_on(self, base: int, now: int) -> None:
        """After one has ended: the next that is still to come."""
        if self.left is not None:
            self.left -= 1
        if self.left == 0:
            self.status, self.due = "finished", None
            return
        if self.fixed:
            self.due = self.started + ((now - self.started) // self.every + 1) * self.every
        else:
            self.due = base + self.every if base + self.every > now else now + self.every
        self.occurrence += 1

    def end(self, status: str) -> None:
        self.status, self.due = status, None


class Machine(RuleBasedStateMachine):
    """Does the same to waitctl and to the model."""

    scene: ClassVar[Scene]

    @initialize()
    def start(self) -> None:
        self.models, self.now, self.run = dict[str, Model](), 0, uuid.uuid4().hex[:8]
        self.service = RecurrenceService(self.scene.database, actor="test")
        self.scene.at(0)

    @rule(every=st.sampled_from([1, 7, 60]), fixed=st.booleans(), count=st.none() | st.integers(1, 3))
    def create(self, every: int, fixed: bool, count: int | None) -> None:
        asked = RecurrenceRule(every=Duration(time=every * MINUTE), fixed=fixed, count=count)
        made = self.service.create(asked, WaitSpec(f"{self.run}-{len(self.models)}", handler="h")).recurrence
        self.models[made.id] = Model(every, fixed, self.now, count, self.now + every)

    @rule(minutes=st.integers(1, 40))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes
        self.scene.at(self.now)

    @rule(batch_size=st.sampled_from([1, 1000]))
    def tick(self, batch_size: int) -> None:
        self.scene.tick(batch_size=batch_size)
        for model in self.models.values():
            if model.due is not None and model.due <= self.now:
                model.go_on(model.due if self.now - model.due <= TOLERANCE else self.now, self.now)

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        """By hand, before it is due or after: a span counts from here, what is fixed keeps to its start."""
        recurrence_id, model = data.draw(st.sampled_from(sorted(self.models.items(), key=lambda item: item[0])))
        wait_id = self.service.get(recurrence_id).wait_id
        if wait_id is None or model.due is None:
            return
        self.scene.waits.resume_wait(wait_id)
        on_time = 0 <= self.now - model.due <= TOLERANCE
        after = max(self.now, model.due) if model.fixed else self.now
        model.go_on(model.due if on_time else self.now, after)

    @precondition(lambda self: self.models)
    @rule(data=st.data(), how=st.sampled_from(["pause", "unpause", "stop", "cancel"]))
    def by_hand(self, data: st.DataObject, how: str) -> None:
        recurrence_id, model = data.draw(st.sampled_from(sorted(self.models.items(), key=lambda item: item[0])))
        to = {"pause": "paused", "unpause": "active", "stop": "stopped"}.get(how)
        if how == "cancel":
            wait_id = self.service.get(recurrence_id).wait_id
            if wait_id is not None:
                self.scene.waits.cancel_wait(wait_id)
                model.end("stopped")
        elif model.status in {"active", "paused"} or model.status == to:
            getattr(self.service, how)(recurrence_id)
            if how == "unpause" and model.status == "paused":
                model.status = "active"
                model.go_on(self.now, self.now)  # what was cancelled by the pause counts as one
            elif how != "unpause" and model.status != to:
                model.end(str(to))
        else:
            with pytest.raises(ConflictError):
                getattr(self.service, how)(recurrence_id)

    @invariant()
    def agree(self) -> None:
        if not getattr(self, "models", None):
            return
        for recurrence_id, model in self.models.items():
            found = self.service.get(recurrence_id)
            due = None if found.next_at is None else (found.next_at - NOON) // timedelta(minutes=1)
            assert (found.status, due, found.occurrence) == (model.status, model.due, model.occurrence)

    def teardown(self) -> None:
        with self.scene.database.read() as connection:
            invariants(connection)


def test_recurrences_do_what_the_model_says(url: str) -> None:
    scene = Scene(url)
    machine = type("MachineOnOneDatabase", (Machine,), {"scene": scene})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=6, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
    finally:
        scene.database.close()
