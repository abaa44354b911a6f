"""The wait: factories, transitions, endings, and what makes two waits the same."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import URL, create_engine, make_url, text

from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import (
    IllegalTransitionError,
    InvalidTimezoneError,
    InvalidWaitConfigurationError,
    InvalidWaitDateError,
    WaitExecutionExpiredError,
)
from waitctl.domain.intents import Intent, parse_fixed_time, parse_until_date, parse_until_time
from waitctl.domain.listeners import EventQuery
from waitctl.domain.statuses import OPEN, TRANSITIONS, Resolution, WaitExecutionStatus, WaitType, sources_of
from waitctl.domain.text import to_json
from waitctl.domain.waits import WaitSpec, WaitStepExecution

if TYPE_CHECKING:
    from tests.conftest import Cluster

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HERE = WaitSpec("order-17", contact_id="ada@example.org", handler="nudge")
S = WaitExecutionStatus


def time_wait(intent: Intent | None = None, spec: WaitSpec = HERE, **options: Any) -> WaitStepExecution:
    return WaitStepExecution.for_time("id", spec, intent or parse_fixed_time("3d"), now=NOW, **options)[0]


def event_wait() -> WaitStepExecution:
    query = EventQuery(("email_open",), timeout=parse_duration("1h"), grace=parse_duration("5m"))
    schedule = query.deadline(NOW, "UTC")
    deadline = schedule.at if schedule else None
    listeners = query.listeners(["l"], "ada@example.org", now=NOW, timeout_at=deadline)
    return WaitStepExecution.for_event("id", HERE, listeners, query.to_config(), now=NOW, timeout_at=deadline)


@pytest.mark.parametrize(
    ("intent", "wait_type", "scheduled_at", "config"),
    [
        (parse_fixed_time("3d"), WaitType.FIXED_TIME, NOW + timedelta(days=3), {"duration": "3d"}),
        (
            parse_until_date("2026-03-02"),
            WaitType.UNTIL_DATE,
            NOW + timedelta(hours=12),
            {"date": "2026-03-02T00:00:00", "past": "reject"},
        ),
        (parse_until_time("13:00"), WaitType.UNTIL_TIME, NOW + timedelta(hours=1), {"time": "13:00:00"}),
    ],
)
def test_time_wait_is_scheduled(
    intent: Intent, wait_type: WaitType, scheduled_at: datetime, config: dict[str, str]
) -> None:
    wait = time_wait(intent, tzdata="2026a")
    assert (wait.wait_type, wait.status, wait.scheduled_at) == (wait_type, S.SCHEDULED, scheduled_at)
    assert wait.wait_config == config | {"tzdata": "2026a"}
    assert (wait.created_at, wait.updated_at, wait.resolution, wait.late_seconds) == (NOW, NOW, None, None)


def test_event_wait_waits_with_its_listeners() -> None:
    wait = event_wait()
    assert (wait.wait_type, wait.status, wait.scheduled_at) == (WaitType.FOR_EVENT, S.WAITING, None)
    assert wait.timeout_at == NOW + timedelta(hours=1)
    assert [listener.expires_at for listener in wait.listeners] == [NOW + timedelta(minutes=65)]


def test_base_is_counted_from_and_kept() -> None:
    wait = time_wait(base=NOW - timedelta(days=4))
    assert wait.scheduled_at == NOW - timedelta(days=1)
    assert wait.wait_config["from"] == "2026-02-25T12:00:00Z"
    assert wait.late_seconds == 86400


def test_past_date_is_before_the_base_not_before_now() -> None:
    yesterday = parse_until_date("2026-02-28")
    with pytest.raises(InvalidWaitDateError, match="has passed"):
        time_wait(yesterday)
    assert time_wait(yesterday, base=NOW - timedelta(days=9)).late_seconds == 36 * 3600
    with pytest.raises(InvalidWaitDateError):
        time_wait(parse_until_date("2026-03-02"), base=NOW + timedelta(days=9))


def test_past_date_fires_when_asked_to_and_says_so() -> None:
    wait, schedule = WaitStepExecution.for_time("id", HERE, parse_until_date("2026-02-28", past="fire"), now=NOW)
    assert wait.status is S.SCHEDULED
    assert wait.late_seconds == 36 * 3600
    assert schedule.explanation[-1].startswith("past:")


def test_date_at_its_base_has_not_passed() -> None:
    assert time_wait(parse_until_date("2026-03-01T12:00:00Z")).late_seconds is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"workflow_execution_id": ""},
        {"step_id": " "},
        {"workflow_id": "a\0"},
        {"contact_id": ""},
        {"handler": ""},
        {"idempotency_key": "x" * 256},
        {"context": {"a": float("nan")}},
        {"context": [1]},
    ],
)
def test_particulars_are_checked_by_every_factory(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidWaitConfigurationError):
        time_wait(spec=replace(HERE, **wrong))
    with pytest.raises(InvalidWaitConfigurationError):
        WaitStepExecution.for_event("id", replace(HERE, **wrong), (), {}, now=NOW, timeout_at=None)


def test_zone_is_checked_and_contact_normalised() -> None:
    with pytest.raises(InvalidTimezoneError):
        time_wait(spec=replace(HERE, timezone="GMT+2"))
    assert time_wait(spec=replace(HERE, contact_id=" ADA@Example.org ")).contact_id == "ada@example.org"


# -- transitions -------------------------------------------------------------------------------------------------------

ALLOWED = {
    (None, S.WAITING),
    (None, S.SCHEDULED),
    (S.WAITING, S.SCHEDULED),
    (S.WAITING, S.RESUMED),
    (S.WAITING, S.TIMEOUT),
    (S.WAITING, S.CANCELLED),
    (S.SCHEDULED, S.RESUMED),
    (S.SCHEDULED, S.CANCELLED),
    (S.RESUMED, S.ERROR),
    (S.TIMEOUT, S.ERROR),
    (S.ERROR, S.RESUMED),
    (S.ERROR, S.TIMEOUT),
    (S.CANCELLED, S.WAITING),
    (S.CANCELLED, S.SCHEDULED),
}


@pytest.mark.parametrize(("status", "to"), list(product([None, *S], S)))
def test_transition_table(status: S | None, to: S) -> None:
    assert (to in TRANSITIONS[status]) is ((status, to) in ALLOWED)
    assert (status in sources_of(to)) is (status is not None and (status, to) in ALLOWED)


def test_every_status_has_its_line_and_only_open_ones_are_open() -> None:
    assert set(TRANSITIONS) == {None, *S}
    assert {status for status in S if status.is_open} == OPEN == {S.WAITING, S.SCHEDULED}
    assert {resolution.status for resolution in Resolution} == {S.RESUMED, S.TIMEOUT, S.CANCELLED}


@pytest.mark.parametrize("resolution", [Resolution.MANUAL, Resolution.CANCELLED])
@pytest.mark.parametrize("wait", [time_wait(), event_wait()], ids=["scheduled", "waiting"])
def test_open_wait_may_end_by_hand(wait: WaitStepExecution, resolution: Resolution) -> None:
    wait.check_may_end(resolution)


@pytest.mark.parametrize("by_hand", [Resolution.MANUAL, Resolution.CANCELLED])
@pytest.mark.parametrize("ended", Resolution)
@pytest.mark.parametrize("died", [False, True])
def test_ended_wait_says_how_it_ended(by_hand: Resolution, ended: Resolution, died: bool) -> None:
    status = S.ERROR if died else ended.status
    wait = replace(time_wait(), status=status, resolution=ended, resolved_at=NOW)
    expected = WaitExecutionExpiredError if ended is Resolution.TIMEOUT else IllegalTransitionError
    with pytest.raises(expected, match=f"status {status}, at 2026-03-01T12:00:00Z"):
        wait.check_may_end(by_hand)


def test_overdue_when_a_tick_would_end_it() -> None:
    due, listening = time_wait(), event_wait()
    assert due.scheduled_at is not None
    assert not due.is_overdue(due.scheduled_at - timedelta(microseconds=1))
    assert due.is_overdue(due.scheduled_at)
    assert not listening.is_overdue(NOW + timedelta(minutes=64))  # in its grace
    assert listening.is_overdue(NOW + timedelta(minutes=65))
    assert not replace(due, status=S.RESUMED).is_overdue(due.scheduled_at)


# -- the same wait -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"contact_id": "eve@example.org"},
        {"handler": "other"},
        {"context": {"a": 1}},
        {"workflow_id": "w"},
        {"timezone": "Europe/Berlin"},
    ],
)
def test_fingerprint_tells_what_was_asked_apart(other: dict[str, Any]) -> None:
    assert time_wait().fingerprint != time_wait(spec=replace(HERE, **other)).fingerprint


def test_fingerprint_ignores_what_it_came_to() -> None:
    later, _ = WaitStepExecution.for_time(
        "other", HERE, parse_fixed_time("P3D"), now=NOW + timedelta(days=1), tzdata="2027b"
    )
    assert later.fingerprint == time_wait(tzdata="2026a").fingerprint
    assert time_wait(parse_fixed_time("4d")).fingerprint != time_wait().fingerprint
    assert time_wait(base=NOW).fingerprint != time_wait().fingerprint


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('aé"\\', max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abñ", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.lists(st.dictionaries(st.text("ab", max_size=2), JSON, max_size=3), min_size=1, max_size=20))
@example(value=[{"a": 1e22}, {"a": 1e23}, {"a": -0.0}, {"a": 1.7976931348623157e308}, {"b": 1, "a": 2}, {"a": 5e-324}])
def test_fingerprint_survives_jsonb(cluster: Cluster, value: list[dict[str, Any]]) -> None:
    with _engine(cluster).connect() as connection:
        back = connection.execute(text("SELECT CAST(:value AS jsonb)::text"), {"value": to_json(value)}).scalar_one()
    for before, after in zip(value, json.loads(back), strict=True):
        assert _with(before).fingerprint == _with(after).fingerprint


def _with(context: dict[str, Any]) -> WaitStepExecution:
    return time_wait(spec=replace(HERE, context=context))


_engines: dict[URL, Any] = {}


def _engine(cluster: Cluster) -> Any:
    """One engine a run: Hypothesis asks a hundred times."""
    url = make_url(cluster.url).set(drivername="postgresql+psycopg")
    return _engines.setdefault(url, create_engine(url))
