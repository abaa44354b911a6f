"""Dates that stand in the context: how they are written, and what a change of the context does to a wait."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whenever import PlainDateTime

from tests.scene import Scene
from waitctl import Rules, WaitSpec, WaitStepExecution, parse_hours
from waitctl.application.waits.updating import UpdatingService, merged
from waitctl.domain.errors import (
    IllegalTransitionError,
    InvalidTimezoneError,
    InvalidWaitConfigurationError,
    InvalidWaitDateError,
)
from waitctl.domain.instants import check_date_format, parse_formatted
from waitctl.domain.intents import parse_until_date, read_intent

BERLIN, TOKYO = "Europe/Berlin", "Asia/Tokyo"


@pytest.mark.parametrize(
    ("text", "pattern", "wanted"),
    [
        ("24.12.2026", "DD.MM.YYYY", "2026-12-24T00:00"),
        ("12/24/2026 18:30", "MM/DD/YYYY HH:mm", "2026-12-24T18:30"),
        ("20261224183005", "YYYYMMDDHHmmss", "2026-12-24T18:30:05"),
        ("24-12-2026T07", "DD-MM-YYYYTHH", "2026-12-24T07:00"),
        ("29.02.2028", "DD.MM.YYYY", "2028-02-29T00:00"),
    ],
)
def test_reads_a_date_by_its_format(text: str, pattern: str, wanted: str) -> None:
    assert parse_formatted(text, pattern) == PlainDateTime.parse_iso(f"{wanted}:00"[:19])


@given(st.datetimes(datetime(1000, 1, 1), datetime(9899, 1, 1)), st.permutations(["DD", "MM", "YYYY"]))
def test_any_order_of_the_parts(at: datetime, order: list[str]) -> None:
    texts = {"DD": f"{at:%d}", "MM": f"{at:%m}", "YYYY": f"{at.year:04}"}
    found = parse_formatted("/".join(texts[name] for name in order), "/".join(order))
    assert found.date().to_stdlib() == at.date()


@pytest.mark.parametrize(
    "pattern",
    ["", "DD.MM", "DD.MM.YY", "DD.MM.YYYY.DD", "DD.MM.YYYY mm", "dd.mm.yyyy", "DD.MM.YYYY x", "%d.%m.%Y", "D.M.YYYY"],
)
def test_what_is_no_format(pattern: str) -> None:
    with pytest.raises(InvalidWaitDateError, match="no format"):
        check_date_format(pattern)


@pytest.mark.parametrize(
    "value", ["2026-12-24", "24.12.26", "4.12.2026", "31.02.2026", "24.13.2026", "", 24122026, None]
)
def test_what_is_not_written_so(value: object) -> None:
    with pytest.raises(InvalidWaitDateError):
        parse_formatted(value, "DD.MM.YYYY")


def test_no_format_is_guessed() -> None:
    with pytest.raises(InvalidWaitDateError):
        parse_until_date("24.12.2026", field="date")
    with pytest.raises(InvalidWaitConfigurationError, match="--field"):
        parse_until_date("24.12.2026", field_format="DD.MM.YYYY")
    intent = parse_until_date("24.12.2026", field="date", field_format="DD.MM.YYYY")
    assert read_intent(intent.to_config()) == intent


def remind(scene: Scene, context: dict[str, Any], execution: str = "e", **options: Any) -> WaitStepExecution:
    spec = WaitSpec(execution, context=context, timezone=options.pop("timezone", BERLIN), **options.pop("spec", {}))
    return scene.waits.create_until_date_wait(None, spec, field=options.pop("field", "at"), **options).wait


def test_seven_days_one_day_and_no_day_before(scene: Scene) -> None:
    """The loop of reminders: each of its own step, the last one at the date itself."""
    context = {"at": 1_798_106_400}  # 2026-12-24 11:00 in Berlin
    found = [
        scene.waits.create_until_date_wait(
            None, WaitSpec("e", f"before-{days}", context=context, timezone=BERLIN), field="at", offset=f"-{days}d"
        ).wait.scheduled_at
        for days in (7, 1, 0)
    ]
    assert found == [datetime(2026, 12, day, 10, tzinfo=UTC) for day in (17, 23, 24)]


# -- another context -----------------------------------------------------------------------------------------------------


@pytest.fixture
def updating(scene: Scene) -> UpdatingService:
    return UpdatingService(scene.database, actor="test")


def test_the_wait_moves_with_its_date(scene: Scene, updating: UpdatingService) -> None:
    wait = remind(scene, {"at": "24.12.2026 18:00", "name": "ada"}, offset="-1d", field_format="DD.MM.YYYY HH:mm")
    assert wait.scheduled_at == datetime(2026, 12, 23, 17, tzinfo=UTC)

    found, why = updating.update_wait(wait.id, context={"at": "01.07.2026 09:00"}, merge=True)

    moved = datetime(2026, 6, 30, 7, tzinfo=UTC)
    assert found.wait.scheduled_at == scene.get(wait).scheduled_at == moved
    assert found.wait.context == {"at": "01.07.2026 09:00", "name": "ada"}
    assert why[0].startswith("until-date 2026-07-01 09:00")
    assert "read from at of the context as DD.MM.YYYY HH:mm" in why[0]
    assert scene.waits.get_history(wait.id)[-1].reason.endswith("context updated: 2026-06-30T07:00:00Z")
    _, explained = scene.rescheduling.explain_wait(wait.id)
    assert explained[0] == why[0]
    assert scene.rescheduling.replan().changes == ()
    again = remind(scene, {"at": "01.07.2026 09:00", "name": "ada"}, offset="-1d", field_format="DD.MM.YYYY HH:mm")
    assert again.id == wait.id


def test_through_window_and_zone(scene: Scene, updating: UpdatingService) -> None:
    rules = Rules(window=parse_hours("mon-fri 09:00-17:00"))
    spec = {"zone_field": "tz"}
    wait = remind(scene, {"at": "2026-12-24T18:00", "tz": BERLIN}, rules=rules, spec=spec)
    found, _ = updating.update_wait(wait.id, context={"at": "2026-12-24T18:00", "tz": TOKYO})
    assert (found.wait.timezone, found.wait.scheduled_at) == (TOKYO, datetime(2026, 12, 25, 0, tzinfo=UTC))
    with pytest.raises(InvalidTimezoneError):
        updating.update_wait(wait.id, context={"tz": "+09:00"}, merge=True)
    assert scene.get(wait).context == {"at": "2026-12-24T18:00", "tz": TOKYO}


def test_what_does_not_name_the_date_moves_nothing(scene: Scene, updating: UpdatingService) -> None:
    wait = remind(scene, {"at": "2026-12-24T18:00"})
    scene.rescheduling.reschedule_wait(wait.id, at="2026-12-25T18:00Z")
    found, why = updating.update_wait(wait.id, context={"name": "ada"}, merge=True, reason="a name")
    assert found.wait.scheduled_at == datetime(2026, 12, 25, 18, tzinfo=UTC)
    assert why == ()
    assert scene.waits.get_history(wait.id)[-1].reason.endswith("a name")
    # A date that is another counts more than what somebody set for the one before.
    found, _ = updating.update_wait(wait.id, context={"at": "2026-12-26T18:00"})
    assert found.wait.scheduled_at == datetime(2026, 12, 26, 17, tzinfo=UTC)


def test_waits_without_a_field_only_get_the_context(scene: Scene, updating: UpdatingService) -> None:
    fixed, event = scene.create("1h", "f").wait, scene.listen(execution="l", timeout="1d")
    for wait in (fixed, event):
        found, _ = updating.update_wait(wait.id, context={"n": 1})
        assert found.wait.context == {"n": 1}
        assert (found.wait.scheduled_at, found.wait.timeout_at) == (wait.scheduled_at, wait.timeout_at)
        assert scene.waits.get_history(wait.id)[-1].reason.endswith("context updated")
    scene.at(61).tick()
    with pytest.raises(IllegalTransitionError):
        updating.update_wait(fixed.id, context={})


@pytest.mark.parametrize("context", [{}, {"at": None}, {"at": "soon"}, {"at": "2026-02-01"}, {"at": True}])
def test_without_a_date_to_come_nothing_changes(
    scene: Scene, updating: UpdatingService, context: dict[str, Any]
) -> None:
    wait = remind(scene, {"at": "2026-12-24T18:00"})
    with pytest.raises(InvalidWaitDateError):
        updating.update_wait(wait.id, context=context)
    assert scene.get(wait) == wait
    assert len(scene.waits.get_history(wait.id)) == 1


def test_a_date_that_has_passed_where_that_is_allowed(scene: Scene, updating: UpdatingService) -> None:
    fires = remind(scene, {"at": "2026-12-24T18:00"}, past="fire")
    follows = remind(scene, {"at": "2026-12-24T18:00"}, "next", past="next")
    for wait in (fires, follows):
        updating.update_wait(wait.id, context={"at": "2026-02-01T18:00"})
    assert scene.tick().resumed == 1
    assert scene.statuses(fires, follows) == "resumed scheduled"
    assert scene.get(follows).scheduled_at == datetime(2026, 3, 1, 17, tzinfo=UTC)


def test_a_merge_patch() -> None:
    """The examples of RFC 7396, of objects."""
    document = {"title": "Goodbye!", "author": {"given": "John", "family": "Doe"}, "tags": ["a"], "content": "text"}
    patch = {"title": "Hello!", "phone": "+01", "author": {"family": None}, "tags": ["b"]}
    assert merged(document, patch) == {
        "title": "Hello!",
        "author": {"given": "John"},
        "tags": ["b"],
        "content": "text",
        "phone": "+01",
    }
    assert merged({"a": "b"}, {"a": {"b": {"c": None}}}) == {"a": {"b": {}}}
