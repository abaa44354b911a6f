"""Who sleeps, until when and why: each kind, in the order in which they wake, and page by page."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scene import MINUTE, NOON, Scene
from waitctl import RecurrenceRule, RecurrenceService, Rules, WaitFilter, WaitSpec, WaitType, parse_hours
from waitctl.application.waits.selection import WaitSelection
from waitctl.domain.listeners import Mode

HOUR = timedelta(hours=1)
OFFICE = Rules(window=parse_hours("mon-fri 09:00-17:00"))


def reasons(scene: Scene, wanted: WaitFilter = WaitFilter()) -> dict[str, str]:
    return {each.wait.workflow_execution_id: each.reason for each in WaitSelection(scene.database, wanted).sleeping()}


def executions(scene: Scene, limit: int | None = None, after: str | None = None) -> list[str]:
    found = WaitSelection(scene.database, WaitFilter()).sleeping(limit=limit, after=after)
    return [each.wait.workflow_execution_id for each in found]


def test_says_why_in_a_line(scene: Scene, tmp_path: Path) -> None:
    berlin = "Europe/Berlin"
    scene.create("3d", "fixed")
    scene.create("3bd", "office", rules=OFFICE, timezone=berlin)
    scene.create("2d", "at", at="9", timezone=berlin)
    morning = WaitSpec("morning", timezone=berlin)
    scene.waits.create_until_time_wait("9", morning, days="mon-fri", rules=Rules(calendar="DE-BY"))
    context = WaitSpec("date", context={"due": "2026-04-01"})
    scene.waits.create_until_date_wait(None, context, field="due", offset="-1d")
    moved = scene.create("1h", "moved").wait
    scene.rescheduling.reschedule_wait(moved.id, by="+1h")
    scene.listen("email_open", "sms_reply", execution="listens", timeout="2d")
    scene.listen("email_open", "sms_reply", execution="all", timeout=None, mode=Mode.ALL, contact="bob")
    scene.record("email_open", contact="bob")
    scene.listen("form_submit", execution="held", timeout=None, rules=OFFICE, contact="eve")
    scene.record("form_submit", contact="eve")
    RecurrenceService(scene.database).create(RecurrenceRule.parse(every="1w"), WaitSpec("again"))
    scene.handle(tmp_path, "echo it is broken >&2; exit 1")
    scene.create("1m", "fails", handler="nudge")
    scene.create("2m", "ends")
    scene.at(2).tick()
    scene.create("1m", "due")
    scene.at(3)

    found = reasons(scene)
    assert found.pop("fails").startswith("delivery to nudge is tried again, after attempt 1: ")
    assert found == {
        "fixed": "fixed time, 3d",
        "office": "fixed time, 3bd, within mon-fri 09:00-17:00",
        "at": "fixed time, 2d at 09:00 Europe/Berlin",
        "morning": "09:00 Europe/Berlin, mon-fri, business days (DE-BY)",
        "date": "fixed date of the context's due, -1d from it",
        "moved": "set by hand",
        "listens": "listening for email_open, sms_reply, at most until 2026-03-03 12:00:00 UTC",
        "all": "listening for email_open, sms_reply (1 of 2), for ever",
        "held": "its event has come, held until it may go on, within mon-fri 09:00-17:00",
        "again": "fixed time, 7d at 12:00 UTC, occurrence 1 of a recurrence",
        "due": "fixed time, 1m; due, for the next tick",
    }


def test_who_wakes_first_comes_first(scene: Scene) -> None:
    for number, hours in enumerate((5, 1, 3)):
        scene.create(f"{hours}h", f"due-{hours}", contact_id=f"c{number}")
    scene.listen("email_open", "sms_reply", execution="listens-4", timeout="4h", grace="1m")
    scene.listen(execution="listens-2", timeout="2h", contact="bob")
    for name in "ab":
        scene.listen(execution=f"ever-{name}", timeout=None, contact=name)
    scene.waits.cancel_wait(scene.create("1h", "gone").wait.id)

    expected = ["due-1", "listens-2", "due-3", "listens-4", "due-5", "ever-a", "ever-b"]
    assert executions(scene) == expected
    assert executions(scene, limit=3) == expected[:3]
    sleepers = list(WaitSelection(scene.database, WaitFilter()).sleeping())
    for number, sleeper in enumerate(sleepers, 1):
        assert executions(scene, after=sleeper.wait.id[-12:]) == expected[number:]
    assert [each.until for each in sleepers][:2] == [NOON + HOUR, NOON + 2 * HOUR]
    assert sleepers[-1].until is None


def test_the_filters_are_those_of_lists(scene: Scene) -> None:
    scene.create("1h", "mine", contact_id="ada", workflow_id="w")
    scene.listen(execution="listens", contact="ada")
    scene.create("2h", "other", contact_id="bob")
    assert set(reasons(scene, WaitFilter(contact_id="ada"))) == {"mine", "listens"}
    assert set(reasons(scene, WaitFilter(workflow_id="w"))) == {"mine"}
    assert set(reasons(scene, WaitFilter(wait_types=[WaitType.FOR_EVENT]))) == {"listens"}
    assert set(reasons(scene, WaitFilter(due_after=90 * MINUTE))) == {"other"}
    assert reasons(scene, WaitFilter(execution_id="nobody")) == {}


SLEEPERS = st.lists(st.tuples(st.sampled_from(["due", "listens", "ever"]), st.integers(1, 4)), max_size=8)


@given(SLEEPERS, st.integers(1, 4))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_leave_nobody_out_and_name_nobody_twice(scene: Scene, kinds: list[tuple[str, int]], size: int) -> None:
    """Whatever is due at one instant."""
    for each in list(WaitSelection(scene.database, WaitFilter()).sleeping()):
        scene.waits.cancel_wait(each.wait.id)
    made = set()
    for number, (kind, hours) in enumerate(kinds):
        if kind == "due":
            made.add(scene.create(f"{hours}h", f"e{number}").wait.id)
        else:
            timeout = f"{hours}h" if kind == "listens" else None
            made.add(scene.listen("email_open", "sms_reply", execution=f"e{number}", timeout=timeout).id)
    whole = [each.wait.id for each in WaitSelection(scene.database, WaitFilter()).sleeping()]
    paged: list[str] = []
    while page := list(
        WaitSelection(scene.database, WaitFilter()).sleeping(limit=size, after=paged[-1] if paged else None)
    ):
        paged += [each.wait.id for each in page]
    assert paged == whole
    assert set(whole) == made
    assert len(whole) == len(made)
