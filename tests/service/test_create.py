"""Creating waits: the four forms, the same again, something else, keys that last for ever."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from tests.scene import MINUTE, NOON, Scene
from waitctl import EventQuery, Rules, WaitExecutionStatus, WaitSpec, WaitType
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import (
    IdempotencyKeyConflictError,
    InvalidEventTypeError,
    InvalidTimeoutError,
    InvalidWaitConfigurationError,
    InvalidWaitDateError,
    InvalidWaitDurationError,
    InvalidWaitTimeError,
    UnsafeConnectionError,
    WaitAlreadyOpenError,
    WaitStepError,
)
from waitctl.domain.text import to_json
from waitctl.infrastructure.executor import Connection

E = WaitSpec("e", contact_id="ada")


def test_four_forms(scene: Scene) -> None:
    waits = scene.waits
    made = {
        "fixed": waits.create_fixed_time_wait("3d", WaitSpec("e", "a")),
        "date": waits.create_until_date_wait("2026-12-24 18:00", WaitSpec("e", "b", timezone="Europe/Berlin")),
        "instant": waits.create_until_date_wait(datetime(2027, 1, 1, tzinfo=UTC), WaitSpec("e", "c")),
        "time": waits.create_until_time_wait("12:00", WaitSpec("e", "d")),
        "event": waits.create_event_wait(
            EventQuery(("email_open",), timeout=parse_duration("2h")), WaitSpec("e", "f", contact_id="ada")
        ),
    }
    assert all(result.created for result in made.values())
    assert {name: (result.wait.wait_type, result.wait.scheduled_at) for name, result in made.items()} == {
        "fixed": (WaitType.FIXED_TIME, NOON + timedelta(days=3)),
        "date": (WaitType.UNTIL_DATE, datetime(2026, 12, 24, 17, tzinfo=UTC)),
        "instant": (WaitType.UNTIL_DATE, datetime(2027, 1, 1, tzinfo=UTC)),
        "time": (WaitType.UNTIL_TIME, NOON + timedelta(days=1)),
        "event": (WaitType.FOR_EVENT, None),
    }
    assert made["event"].wait.timeout_at == NOON + timedelta(hours=2)
    for result in made.values():
        assert scene.get(result.wait) == result.wait


def test_everything_that_was_given_is_kept(scene: Scene) -> None:
    spec = WaitSpec(
        "e",
        "s",
        workflow_id="w",
        contact_id=" Zoë@Example.org",
        context={"n": 1, "deep": [{"ü": None}], "big": 2**60, "half": 0.5},
        handler="nudge",
        idempotency_key="k",
        timezone="Asia/Tokyo",
    )
    wait = scene.get(scene.waits.create_fixed_time_wait("3d", spec, base=NOON - MINUTE).wait)
    for name in (
        "workflow_execution_id",
        "step_id",
        "workflow_id",
        "context",
        "handler",
        "idempotency_key",
        "timezone",
    ):
        assert getattr(wait, name) == getattr(spec, name)
    assert wait.contact_id == "zoë@example.org"
    assert wait.wait_config["duration"] == "3d"
    assert wait.wait_config["from"] == "2026-03-01T11:59:00Z"


def test_same_again_returns_the_open_wait(scene: Scene) -> None:
    context = {"amount": 1e22, "b": 1, "a": [1.0, {"y": 0, "x": -0.0}]}
    first = scene.create("3d", context=context)
    again = scene.at(5).create("P3D", context=dict(reversed(context.items())))
    assert (again.created, again.wait.id) == (False, first.wait.id)
    assert again.wait.scheduled_at == first.wait.scheduled_at
    listened = scene.listen(step_id="2")
    assert scene.at(6).listen(step_id="2").id == listened.id


@pytest.mark.parametrize(
    "other",
    [
        {"duration": "4d"},
        {"contact_id": "eve"},
        {"handler": "other"},
        {"context": {"a": 2}},
        {"workflow_id": "w2"},
        {"timezone": "Asia/Tokyo"},
        {"base": NOON},
    ],
)
def test_another_wait_for_the_same_step_is_a_conflict_unless_it_replaces(scene: Scene, other: dict[str, Any]) -> None:
    first = scene.create("3d", context={"a": 1}).wait
    asked = {"duration": "3d", "context": {"a": 1}} | other
    with pytest.raises(WaitAlreadyOpenError, match=first.id):
        scene.create(**asked)
    assert scene.statuses(first) == "scheduled"
    second = scene.create(**asked, replace_open=True)
    assert second.created
    assert scene.statuses(first, second.wait) == "cancelled scheduled"
    assert [line.reason for line in scene.waits.get_history(first.id)][-1].endswith("replaced")


def test_replace_with_the_same_replaces_nothing(scene: Scene) -> None:
    first = scene.create("3d").wait
    assert scene.create("3d", replace_open=True).wait.id == first.id
    assert scene.statuses(first) == "scheduled"


def test_step_whose_wait_has_ended_is_free(scene: Scene) -> None:
    first = scene.create().wait
    scene.waits.cancel_wait(first.id)
    assert scene.create().created


@pytest.mark.parametrize("ending", ["resumed", "cancelled", "open"])
def test_key_is_for_ever(scene: Scene, ending: str) -> None:
    first = scene.create(idempotency_key="k", execution="one").wait
    if ending == "resumed":
        scene.at(61).tick()
    elif ending == "cancelled":
        scene.waits.cancel_wait(first.id)
    again = scene.at(90).create(idempotency_key="k", execution="another")
    assert (again.created, again.wait.id) == (False, first.id)
    for replace_open in (False, True):
        with pytest.raises(IdempotencyKeyConflictError, match=first.id):
            scene.create("2h", idempotency_key="k", replace_open=replace_open)
    assert scene.create("2h", idempotency_key="k", workflow_id="another").created


def test_key_outlives_its_wait(scene: Scene) -> None:
    """What pruning leaves: a tombstone with the key."""
    wait = scene.create(idempotency_key="k").wait
    scene.at(61).tick()
    prune(scene, wait.id, wait.fingerprint)
    again = scene.create(idempotency_key="k")
    assert (again.created, again.wait.id, again.wait.status) == (False, wait.id, WaitExecutionStatus.RESUMED)
    with pytest.raises(IdempotencyKeyConflictError, match="pruned"):
        scene.create("2h", idempotency_key="k")


def prune(scene: Scene, wait_id: str, fingerprint: str) -> None:
    scene.sql("DELETE FROM workflow_wait_executions WHERE id = :id", id=wait_id)
    scene.sql(
        "INSERT INTO waitctl_tombstones (kind, scope, key, wait_id, fingerprint, resolution, resolved_at) "
        "VALUES ('wait_key', '', 'k', :id, :fingerprint, 'due', :at)",
        id=wait_id,
        fingerprint=fingerprint,
        at="2026-03-01 13:01:00.000000+00:00",
    )


# -- dates that pass ---------------------------------------------------------------------------------------------------

DATE = "2026-03-01 13:00"


def test_past_date_is_refused_or_due_at_once(scene: Scene) -> None:
    with pytest.raises(InvalidWaitDateError, match="2026-03-01T11:00:00Z"):
        scene.waits.create_until_date_wait("2026-03-01 11:00", E)
    assert scene.waits.list_waits()[0] == []
    result = scene.waits.create_until_date_wait("2026-03-01 11:00", E, past="fire")
    assert result.wait.late_seconds == 3600
    assert result.explanation[-1].startswith("past:")
    assert scene.tick().resumed == 1


def test_same_command_after_its_date_finds_its_wait(scene: Scene) -> None:
    first = scene.waits.create_until_date_wait(DATE, E).wait
    again = scene.at(90).waits.create_until_date_wait(DATE, E)
    assert (again.created, again.wait.id) == (False, first.id)
    for other in (WaitSpec("e", contact_id="eve"), WaitSpec("other")):
        with pytest.raises(InvalidWaitDateError):
            scene.waits.create_until_date_wait(DATE, other)


@pytest.mark.parametrize("pruned", [False, True])
def test_same_command_with_a_key_after_its_date_finds_its_wait(scene: Scene, pruned: bool) -> None:
    keyed = WaitSpec("e", idempotency_key="k")
    first = scene.waits.create_until_date_wait(DATE, keyed).wait
    scene.at(61).tick()
    if pruned:
        prune(scene, first.id, first.fingerprint)
    again = scene.at(90).waits.create_until_date_wait(DATE, keyed)
    assert (again.created, again.wait.id, again.wait.status) == (False, first.id, WaitExecutionStatus.RESUMED)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "spec", "error"),
    [
        (EventQuery(("cart_abandoned",)), E, InvalidEventTypeError),
        (EventQuery(("email_opne",)), E, InvalidEventTypeError),
        (EventQuery(("email_open",)), WaitSpec("e"), InvalidWaitConfigurationError),
        (EventQuery(("email_open",)), WaitSpec("e", contact_id=" "), InvalidWaitConfigurationError),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_event_wait_that_cannot_be(
    scene: Scene, query: EventQuery, spec: WaitSpec, error: type[WaitStepError], dry_run: bool
) -> None:
    with pytest.raises(error):
        scene.waits.create_event_wait(query, spec, dry_run=dry_run)
    assert dry_run or scene.waits.list_waits()[0] == []


def test_near_misses_of_event_types_are_named(scene: Scene) -> None:
    with pytest.raises(InvalidEventTypeError) as caught:
        scene.listen("email_opne")
    assert caught.value.hint == "did you mean email_open? waitctl event types add email_opne registers it"


def test_deadline_beyond_the_calendar_is_refused(scene: Scene) -> None:
    with pytest.raises(InvalidTimeoutError):
        scene.listen(timeout="3d", base=datetime(9999, 12, 31, tzinfo=UTC))


def test_naive_datetimes_are_refused(scene: Scene) -> None:
    naive = datetime(2027, 1, 1)
    with pytest.raises(InvalidWaitDateError):
        scene.waits.create_until_date_wait(naive, E)
    with pytest.raises(InvalidWaitDateError):
        scene.create(base=naive)
    with pytest.raises(InvalidWaitDateError):
        scene.listen(base=naive)


def test_dry_run_makes_no_database(sqlite_scene: Scene) -> None:
    assert sqlite_scene.database.path is not None
    sqlite_scene.database.path.unlink(missing_ok=True)
    sqlite_scene.create("3d", dry_run=True)
    sqlite_scene.waits.create_event_wait(EventQuery(("email_open",)), E, dry_run=True)
    assert not sqlite_scene.database.path.exists()


def test_dry_run_writes_nothing_and_explains(scene: Scene) -> None:
    if scene.database.path is not None:
        scene.database.path.unlink()
    result = scene.create("3d", dry_run=True)
    assert not result.created
    assert result.wait.scheduled_at == NOON + timedelta(days=3)
    assert result.explanation[0].startswith("fixed-time 3d: 72h")
    query = EventQuery(("email_open",), timeout=parse_duration("2h"))
    explained = scene.waits.create_event_wait(query, E, dry_run=True).explanation
    assert explained[1] == "deadline: 2h on"
    assert "no timeout" in scene.waits.create_event_wait(EventQuery(("email_open",)), E, dry_run=True).explanation[1]
    assert scene.waits.list_waits()[0] == []


# -- inside a caller's transaction -------------------------------------------------------------------------------------


def test_wait_is_part_of_the_callers_transaction(scene: Scene) -> None:
    scene.create(execution="first")

    def create(connection: Connection) -> str:
        return scene.waits.create_event_wait(EventQuery(("email_open",)), E, connection=connection).wait.id

    def fail(connection: Connection) -> None:
        create(connection)
        raise LookupError

    with pytest.raises(LookupError):
        scene.database.write(fail)
    assert [status.wait.workflow_execution_id for status in scene.waits.list_waits()[0]] == ["first"]
    assert scene.statuses(scene.get(scene.database.write(create))) == "waiting"


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT"])
def test_transaction_that_could_lose_a_wake_up_is_refused_on_postgresql(postgres_scene: Scene, level: Any) -> None:
    engine = sa.create_engine(postgres_scene.database.url.render_as_string(hide_password=False), isolation_level=level)
    with engine.connect() as connection, pytest.raises(UnsafeConnectionError):
        postgres_scene.waits.create_event_wait(EventQuery(("email_open",)), E, connection=connection)
    engine.dispose()


def test_transaction_on_an_old_snapshot_is_refused_on_sqlite(sqlite_scene: Scene) -> None:
    sqlite_scene.create(execution="first")
    with sqlite_scene.database.read() as connection:
        connection.execute(sa.text("SELECT count(*) FROM workflow_events")).scalar_one()
        sqlite_scene.create(execution="second")
        with pytest.raises(UnsafeConnectionError):
            sqlite_scene.waits.create_event_wait(EventQuery(("email_open",)), E, connection=connection)


def test_fingerprint_in_the_database_is_the_one_that_was_asked(scene: Scene) -> None:
    wait = scene.create(context={"a": [1e23, 0.1]}).wait
    assert scene.get(wait).fingerprint == wait.fingerprint
    assert to_json(scene.get(wait).context)


def test_python_objects_mean_what_their_texts_mean(scene: Scene) -> None:
    """Dates, times and spans as the standard library has them; what they cannot mean is refused in words."""
    spec, waits = WaitSpec("e", timezone="Europe/Berlin"), scene.waits
    office = Rules(calendar="DE")
    fixed, until, daily = waits.create_fixed_time_wait, waits.create_until_date_wait, waits.create_until_time_wait
    christmas = date(2026, 12, 24)
    pairs: list[tuple[Any, Any]] = [
        (partial(fixed, timedelta(days=3)), partial(fixed, "3d")),
        (partial(fixed, timedelta(days=1, hours=2)), partial(fixed, "1d2h")),
        (partial(fixed, timedelta(minutes=90)), partial(fixed, "90m")),
        (partial(fixed, timedelta(3), at=time(9)), partial(fixed, "3d", at="9")),
        (partial(fixed, timedelta(), rules=office), partial(fixed, "0", rules=office)),
        (partial(daily, time(9, 30)), partial(daily, "9:30")),
        (partial(until, christmas), partial(until, "2026-12-24")),
        (partial(until, NOON), partial(until, "2026-03-01T12:00:00Z")),
        (partial(until, christmas, offset=-timedelta(1, hours=2)), partial(until, "2026-12-24", offset="-1d2h")),
        (partial(until, christmas, offset=timedelta(2)), partial(until, "2026-12-24", offset="+2d")),
        (partial(until, christmas, offset=timedelta()), partial(until, "2026-12-24", offset="0")),
    ]
    for by_object, by_text in pairs:
        one, other = by_object(spec, dry_run=True).wait, by_text(spec, dry_run=True).wait
        assert (one.scheduled_at, one.wait_config) == (other.scheduled_at, other.wait_config)
    wait = waits.create_fixed_time_wait(timedelta(days=1), spec).wait
    assert scene.rescheduling.reschedule_wait(wait.id, by=-timedelta(hours=1))[0].wait.scheduled_at == NOON + timedelta(
        hours=23
    )
    assert scene.rescheduling.reschedule_wait(wait.id, at=NOON + timedelta(2))[0].wait.scheduled_at == NOON + timedelta(
        2
    )
    found, _ = scene.rescheduling.reschedule_wait(wait.id, at=date(2026, 3, 9))
    assert found.wait.wait_config["rescheduled"] == {"at": "2026-03-09T00:00:00"}


def test_python_spans_of_an_event_wait(scene: Scene) -> None:
    spans: dict[str, Any] = {"timeout": timedelta(hours=1), "lookback": timedelta(), "grace": timedelta(minutes=5)}
    late: dict[str, Any] = {"max_late": timedelta(hours=2)}
    query = EventQuery(("email_open",), **spans, rules=Rules(**late))
    wait = scene.waits.create_event_wait(query, WaitSpec("e", contact_id="ada")).wait
    assert wait.timeout_at == NOON + timedelta(hours=1)
    config = wait.wait_config
    assert [config[name] for name in ("timeout", "lookback", "grace", "max_late")] == ["1h", "0", "5m", "2h"]
    assert EventQuery.from_config(config) == query


def test_python_objects_that_mean_nothing_here(scene: Scene) -> None:
    spec = WaitSpec("e")
    naive = datetime(2026, 12, 24, tzinfo=UTC).replace(tzinfo=None)
    with pytest.raises(InvalidWaitDurationError, match="no sign"):
        scene.waits.create_fixed_time_wait(-timedelta(1), spec)
    with pytest.raises(InvalidWaitDurationError):
        scene.waits.create_fixed_time_wait(timedelta(), spec)
    with pytest.raises(InvalidWaitDurationError, match="ten years"):
        scene.waits.create_fixed_time_wait(timedelta.max, spec)
    with pytest.raises(InvalidWaitTimeError):
        scene.waits.create_until_time_wait(time(9, tzinfo=UTC), spec)
    with pytest.raises(InvalidWaitTimeError):
        scene.waits.create_until_time_wait(time(9, 0, 0, 1), spec)
    with pytest.raises(InvalidWaitDateError, match="naive"):
        scene.waits.create_until_date_wait(naive, spec)
    with pytest.raises(InvalidWaitConfigurationError, match="past 'ignore' is none of reject, fire, next"):
        scene.waits.create_until_date_wait("2026-12-24", spec, past="ignore")
    spans: dict[str, Any] = {"timeout": -timedelta(1)}
    with pytest.raises(InvalidTimeoutError):
        EventQuery(("email_open",), **spans)
