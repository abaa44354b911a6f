"""Recording events: stored first, once, and matched by topic, condition and time."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from tests.scene import MINUTE, NOON, Scene
from waitctl import make_event
from waitctl.application.events.ndjson import BATCH, BATCH_BYTES, MAX_LINE, LineRejection, read_lines
from waitctl.application.events.results import IngestTotals
from waitctl.domain.errors import (
    AmbiguousIdError,
    EventNotFoundError,
    EventTypeInUseError,
    InvalidEventError,
    InvalidEventTypeError,
    InvalidWaitConfigurationError,
    WaitStepError,
)


def test_event_resumes_the_wait_that_it_matches(scene: Scene) -> None:
    wait = scene.listen(handler="nudge")
    result = scene.at(5).record(data={"n": 1}, external_id="m-1")
    assert result.matched == (wait.id,)
    ended = scene.get(wait)
    assert (ended.status, ended.resolution, ended.resolution_event_id) == ("resumed", "event", result.event_id)
    (listener,) = ended.listeners
    assert (listener.status, listener.matched_event_id, listener.matched_at) == (
        "matched",
        result.event_id,
        NOON + 5 * MINUTE,
    )
    assert [delivery.outcome for delivery in ended.deliveries] == ["event"]
    assert ended.late_seconds is None
    assert scene.waits.get_history(wait.id)[-1].reason.endswith(f"event {result.event_id}")
    (event,) = scene.events.list_events()
    assert (event.id, event.external_id, event.data, event.matched) == (result.event_id, "m-1", {"n": 1}, (wait.id,))


def test_unmatched_event_is_stored(scene: Scene) -> None:
    result = scene.record(occurred_at=NOON - MINUTE)
    assert (result.matched, result.duplicate) == ((), False)
    (event,) = scene.events.list_events(unmatched=True)
    assert (event.id, event.received_at, event.occurred_at) == (result.event_id, NOON, NOON - MINUTE)


@pytest.mark.parametrize(
    ("event_type", "contact"), [("email_click", "ada"), ("email_open", "eve"), ("email_open", "ADA")]
)
def test_correlation_is_by_type_and_contact(scene: Scene, event_type: str, contact: str) -> None:
    wait = scene.listen()
    assert scene.record(event_type, contact).matched == ()
    assert scene.statuses(wait) == "waiting"


def test_contact_has_one_form_at_both_ends(scene: Scene) -> None:
    wait = scene.listen(contact="whatsapp: Ada@Example.org ")
    assert scene.record(contact="ADA@EXAMPLE.ORG").matched == (wait.id,)


# -- once --------------------------------------------------------------------------------------------------------------


def test_same_source_and_id_is_one_event(scene: Scene) -> None:
    first = scene.record(external_id="m-1")
    wait = scene.at(0.5).listen(lookback="0", execution="later")
    again = scene.at(1).record(external_id="m-1", data={"other": True})
    assert (again.duplicate, again.event_id, again.matched) == (True, first.event_id, ())
    assert scene.statuses(wait) == "waiting"
    assert not scene.record(external_id="m-1", source="crm").duplicate
    assert len(scene.events.list_events()) == 2


def test_events_without_id_are_all_different(scene: Scene) -> None:
    assert not scene.record().duplicate
    assert not scene.record().duplicate
    assert len(scene.events.list_events()) == 2


def test_id_of_a_pruned_event_is_still_known(scene: Scene) -> None:
    scene.sql("INSERT INTO waitctl_tombstones (kind, scope, key) VALUES ('event_id', 'cli', 'm-1')")
    wait = scene.listen()
    result = scene.record(external_id="m-1")
    assert (result.duplicate, result.event_id, result.matched) == (True, None, ())
    assert not scene.record(external_id="m-1", source="crm", contact="eve").duplicate
    assert scene.statuses(wait) == "waiting"


@pytest.mark.parametrize("way", ["stored", "stored beside pruned ones", "ingested"])
def test_a_batch_goes_in_in_an_order_of_its_own(postgres_scene: Scene, way: str) -> None:
    """Two ingests of the same events, each in another order, then wait for each other instead of deadlocking."""
    if "pruned" in way:  # which makes another query of it
        postgres_scene.sql(
            "INSERT INTO waitctl_tombstones (kind, scope, key) "
            "SELECT 'event_id', 'cli', 'p' || n FROM generate_series(1, 3000) AS n"
        )
        postgres_scene.sql("ANALYZE waitctl_tombstones")
    ids = [f"{number * 7919 % 1000:03}" for number in range(1000)]
    if way == "ingested":
        ingest(postgres_scene, *(line(contact=f"c{each}", id=each) for each in ids))
    else:
        new = [make_event("email_open", f"c{each}", external_id=each) for each in ids]
        postgres_scene.database.write(lambda connection: postgres_scene.events.store(connection, new))
    stored = postgres_scene.sql("SELECT external_id FROM workflow_events ORDER BY ctid")
    assert [row[0] for row in stored] == sorted(ids)


# -- conditions --------------------------------------------------------------------------------------------------------


def test_match_and_match_json_must_both_fit(scene: Scene) -> None:
    wait = scene.listen(match={"form.id": "7"}, match_json={"tags": ["vip"]})
    assert scene.record(data={"form": {"id": 7}}).matched == ()
    assert scene.record(data={"form": {"id": 8}, "tags": ["vip"]}).matched == ()
    assert scene.record(data={"form": {"id": 7}, "tags": ["new", "vip"]}).matched == (wait.id,)


def test_any_of_several_types(scene: Scene) -> None:
    wait = scene.listen("email_open", "sms_reply")
    assert scene.record("sms_reply").matched == (wait.id,)
    assert {each.event_type: each.status for each in scene.get(wait).listeners} == {
        "email_open": "cancelled",
        "sms_reply": "matched",
    }
    assert scene.record("email_open").matched == ()


def test_broadcast_to_every_wait_that_fits(scene: Scene) -> None:
    waits = [scene.listen(execution=f"e{number}") for number in range(3)]
    other = scene.listen(execution="other", match={"n": "1"})
    assert set(scene.record().matched) == {wait.id for wait in waits}
    assert scene.statuses(other) == "waiting"


def test_exclusive_takes_one_oldest_first(scene: Scene) -> None:
    older = scene.listen(execution="older", exclusive=True)
    younger = scene.at(0.1).listen(execution="younger", exclusive=True)
    assert scene.record().matched == (older.id,)
    assert scene.record().matched == (younger.id,)


def test_what_an_exclusive_wait_took_is_taken_for_everybody(scene: Scene) -> None:
    taker = scene.listen(execution="taker", exclusive=True)
    scene.record()
    assert scene.statuses(taker, scene.listen(execution="later"), scene.listen(execution="l2", exclusive=True)) == (
        "resumed waiting waiting"
    )


def test_open_waits_of_one_execution_share_an_event(scene: Scene) -> None:
    waits = [scene.listen(step_id=str(number)) for number in range(2)]
    assert set(scene.record().matched) == {wait.id for wait in waits}


def test_open_waits_of_one_execution_share_an_event_though_one_is_exclusive(scene: Scene) -> None:
    waits = [scene.listen(step_id="broad"), scene.listen(step_id="exclusive", exclusive=True)]
    assert set(scene.record().matched) == {wait.id for wait in waits}


# -- looking back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "lookback", "status"),
    [(1, "1m", "resumed"), (1.01, "1m", "waiting"), (9, "10m", "resumed"), (0, "0", "resumed"), (0.01, "0", "waiting")],
)
def test_lookback(scene: Scene, minutes: float, lookback: str, status: str) -> None:
    event = scene.record()
    wait = scene.at(minutes).listen(lookback=lookback, handler="nudge")
    assert wait.status == status == scene.get(wait).status
    if status == "resumed":
        assert wait.resolution_event_id == event.event_id
        assert [delivery.outcome for delivery in wait.deliveries] == ["event"]


def test_lookback_takes_the_oldest_that_fits(scene: Scene) -> None:
    scene.record(data={"n": 2})
    first = scene.at(0.1).record(data={"n": 1})
    scene.at(0.2).record(data={"n": 1})
    assert scene.listen(match={"n": "1"}).resolution_event_id == first.event_id


def test_consumed_event_never_matches_that_execution_again(scene: Scene) -> None:
    scene.listen(step_id="1")
    first = scene.record()
    assert scene.listen(step_id="2").status == "waiting"
    other = scene.listen(execution="other")
    assert (other.status, other.resolution_event_id) == ("resumed", first.event_id)
    second = scene.record()
    assert scene.waits.get_step_status("e", "2").wait.resolution_event_id == second.event_id


def test_cancel_and_replace_release_nothing_that_was_not_taken(scene: Scene) -> None:
    scene.listen(step_id="1", match={"n": "2"})
    event = scene.record()
    scene.listen(step_id="1", replace_open=True)
    replaced = scene.waits.get_step_status("e", "1").wait
    assert (replaced.status, replaced.resolution_event_id) == ("resumed", event.event_id)


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("received", "occurred", "matches"),
    [
        (59.9, None, True),
        (60, None, False),
        (59.9, 99, True),
        (62, 59.9, True),
        (62, 60, False),
        (62, None, False),
        (65, 59, False),
    ],
)
@pytest.mark.parametrize("ticked", [False, True])
def test_deadline_decides_not_the_sweeper(
    scene: Scene, received: float, occurred: float | None, matches: bool, ticked: bool
) -> None:
    wait = scene.listen(timeout="1h", grace="5m")
    scene.at(received)
    if ticked:
        scene.tick()
    happened = None if occurred is None else NOON + occurred * MINUTE
    assert scene.record(occurred_at=happened).matched == ((wait.id,) if matches else ())
    scene.at(65).tick()
    ended = scene.get(wait)
    assert (ended.status, ended.late_seconds) == (("resumed", None) if matches else ("timeout", 300))


def test_timeout_is_an_outcome_of_its_own(scene: Scene) -> None:
    wait = scene.listen("email_open", "sms_reply", handler="nudge", timeout="1h")
    assert scene.at(59.9).tick().timed_out == 0
    report = scene.at(61).tick()
    assert (report.timed_out, report.resumed) == (1, 0)
    ended = scene.get(wait)
    assert (ended.status, ended.resolution, ended.late_seconds) == ("timeout", "timeout", 60)
    assert [listener.status for listener in ended.listeners] == ["expired", "expired"]
    assert [delivery.outcome for delivery in ended.deliveries] == ["timeout"]


def test_wait_without_timeout_waits(scene: Scene) -> None:
    wait = scene.listen(timeout=None)
    scene.at(60 * 24 * 4000).tick()
    assert scene.record().matched == (wait.id,)


def test_base_is_what_the_timeout_counts_from(scene: Scene) -> None:
    wait = scene.listen(timeout="1h", base=NOON - 30 * MINUTE)
    assert wait.timeout_at == NOON + 30 * MINUTE
    assert scene.at(30).tick().timed_out == 1


# -- refusals, listing, types ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"event_type": "cart_abandoned"}, InvalidEventTypeError),
        ({"event_type": "a b"}, InvalidEventTypeError),
        ({"contact": " "}, InvalidEventError),
        ({"contact": "a\0"}, InvalidEventError),
        ({"data": {"a": float("nan")}}, InvalidEventError),
        ({"data": {"a": "\ud800"}}, InvalidEventError),
        ({"data": {"a": "x" * 300_000}}, InvalidEventError),
        ({"external_id": ""}, InvalidEventError),
        ({"source": "x" * 256}, InvalidEventError),
    ],
)
def test_event_that_is_none_leaves_nothing(scene: Scene, fields: dict[str, Any], error: type[WaitStepError]) -> None:
    with pytest.raises(error):
        scene.record(**fields)
    assert scene.events.list_events() == []


@pytest.mark.parametrize("moved", ["a\tb", "a\nb", "\t", "\n"])
def test_nothing_moves_into_the_columns_of_others(postgres_scene: Scene, moved: str) -> None:
    """An event that a program made without `make_event` travels between tabs like any other."""
    event = replace(make_event("email_open", "ada", external_id="m-1"), external_id=moved)
    with pytest.raises(ValueError, match="holds a tab"):
        postgres_scene.events.record(event)
    assert postgres_scene.events.list_events() == []


def test_list_and_get_events(scene: Scene) -> None:
    opened = scene.record()
    clicked = scene.at(1).record("email_click", "Eve@x.org")
    scene.at(1).listen("email_click", contact="eve@x.org")
    listed = [event.id for event in scene.events.list_events()]
    assert listed == [clicked.event_id, opened.event_id]
    for wanted, expected in (
        ({"event_type": "email_open"}, opened),
        ({"contact": "EVE@x.org "}, clicked),
        ({"since": NOON + MINUTE}, clicked),
        ({"unmatched": True}, opened),
        ({"limit": 1}, clicked),
    ):
        assert [event.id for event in scene.events.list_events(**wanted)] == [expected.event_id]
    assert opened.event_id is not None
    assert scene.events.get_event(opened.event_id[-12:]).id == opened.event_id
    with pytest.raises(EventNotFoundError):
        scene.events.get_event("00000000")
    with pytest.raises(InvalidWaitConfigurationError):
        scene.events.get_event("nonsense")
    renamed = "UPDATE workflow_events SET id = :to WHERE id = :id"
    for number, event_id in enumerate(listed):
        scene.sql(renamed, to=f"01900000-0000-7000-8000-00000000000{number}", id=event_id)
    with pytest.raises(AmbiguousIdError, match="events"):
        scene.events.get_event("01900000")


def test_event_types_can_be_added_and_removed(scene: Scene) -> None:
    assert scene.events.add_type("cart_abandoned", "left a cart")
    assert not scene.events.add_type("cart_abandoned")
    assert ("cart_abandoned", "left a cart", False) in scene.events.list_types()
    assert [builtin for _, _, builtin in scene.events.list_types()] == [True] * 6 + [False]
    wait = scene.listen("cart_abandoned")
    with pytest.raises(EventTypeInUseError):
        scene.events.remove_type("cart_abandoned")
    assert scene.record("cart_abandoned").matched == (wait.id,)
    scene.events.remove_type("cart_abandoned")
    for name in ("cart_abandoned", "email_open"):
        with pytest.raises(InvalidEventTypeError):
            scene.events.remove_type(name)
    with pytest.raises(InvalidEventTypeError):
        scene.events.add_type("not a name")


# -- ingest ------------------------------------------------------------------------------------------------------------


def ingest(scene: Scene, *lines: Any, **options: Any) -> tuple[IngestTotals, list[LineRejection]]:
    raw = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    rejected: list[LineRejection] = []
    totals = scene.events.ingest_ndjson(read_lines(io.BytesIO(raw)), on_rejection=rejected.append, **options)
    return totals, rejected


def line(**fields: Any) -> dict[str, Any]:
    return {"type": "email_open", "contact": "ada"} | fields


def test_a_stream_is_held_two_batches_at_a_time(scene: Scene) -> None:
    """One that is written and one that is read: the memory is the same however long the stream."""
    pulled, ahead = 0, []

    def endless() -> Iterator[tuple[int, bytes]]:
        nonlocal pulled
        for pulled in range(1, 5 * BATCH + 1):
            yield pulled, json.dumps(line(id=str(pulled), contact=f"c{pulled}")).encode()

    totals = scene.events.ingest_ndjson(endless(), on_batch=lambda totals: ahead.append(pulled - totals.received))
    assert totals.recorded == 5 * BATCH
    assert max(ahead) <= 2 * BATCH


def test_a_stream_ends_with_the_batch_that_fails(scene: Scene) -> None:
    """Though the next one lies ready: run again, the stream goes on where it ended."""
    poison = "ALTER TABLE workflow_events ADD CONSTRAINT poison CHECK (external_id <> '1500')"
    if scene.database.is_sqlite:
        poison = (
            "CREATE TRIGGER poison BEFORE INSERT ON workflow_events WHEN new.external_id = '1500' "
            "BEGIN SELECT RAISE(ABORT, 'poison'); END"
        )
    scene.database.write(lambda connection: connection.execute(sa.text(poison)))
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError), match="poison"):
        ingest(scene, *(line(id=str(number)) for number in range(5000)))
    assert len(scene.events.list_events(limit=5000)) == BATCH


@pytest.mark.parametrize("odd", ["known", "pruned", "twice", "no such type", "a bad line"])
def test_a_stream_goes_on_after_what_it_cannot_take_as_new(scene: Scene, odd: str) -> None:
    """Batches whose events are all new go in by another statement than those with one that is not."""
    waits = [scene.listen(contact=f"c{number}", execution=f"e{number}") for number in (500, 1500, 2500)]
    if odd == "known":
        scene.record(external_id="1400", contact="bob")
    if odd == "pruned":
        scene.sql("INSERT INTO waitctl_tombstones (kind, scope, key) VALUES ('event_id', 'cli', '1400')")
    lines: list[Any] = [line(id=str(number), contact=f"c{number}") for number in range(3000)]
    if odd == "twice":
        lines[1400] = line(id="1300", contact="c1400")
    if odd == "no such type":
        lines[1400]["type"] = "cart_abandoned"
    if odd == "a bad line":
        lines[1400] = b"[]\n"
    totals, rejected = ingest(scene, *lines)
    refused = odd in {"no such type", "a bad line"}
    expected = IngestTotals(received=3000, recorded=2999, duplicates=not refused, rejected=refused, matched=3)
    assert totals == expected
    assert [each.line for each in rejected] == [1401] * refused
    assert [scene.statuses(wait) for wait in waits] == ["resumed"] * 3
    assert ingest(scene, *lines)[0].recorded == 0


ODD = {
    "tab": "a\tb\r\nc",
    "control": "\x01\x02\x1f\x7f\x85",
    "escapes": "\\N \\t \\\\ \" ' {} NULL",
    "beyond": "Zoë 日本 \U0001f600 \u2028",
    "words": ["Infinity", "-Infinity", "NaN", None, True],
    "numbers": [2**70, -(2**63), 1.5e-9, 0, -7],
    "": {"deep": [[[[{}]]]]},
}


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("odd", ODD)
def test_a_line_is_kept_as_it_was(scene: Scene, odd: str, escaped: bool) -> None:
    data = {odd: ODD[odd]}
    names = {"contact": "o'neil \\N\\t Zoë", "source": 'a "b" \\x02', "id": "{1,2}\\"}
    wait = scene.listen(contact=names["contact"])
    raw = json.dumps(line(data=data, **names), ensure_ascii=escaped).encode()
    totals, _ = ingest(scene, raw + b"\n", line(id="1"), line(id="2", data=None), line(id="3", data={}))
    assert (totals.recorded, totals.matched) == (4, 1)
    assert scene.statuses(wait) == "resumed"
    kept = {event.external_id: event for event in scene.events.list_events()}
    event = kept[names["id"]]
    assert (event.contact_id, event.source, event.data) == (names["contact"], names["source"], data)
    assert [kept[each].data for each in "123"] == [{}] * 3


def test_a_batch_has_no_more_bytes_than_fit(scene: Scene) -> None:
    """A thousand events of the largest size would be more than PostgreSQL takes in one parameter."""
    large = json.dumps(line(data={"x": "x" * 250_000})).encode()
    received: list[int] = []
    lines = enumerate([large] * 80, 1)
    scene.events.ingest_ndjson(lines, on_batch=lambda totals: received.append(totals.received))
    first = received[0]
    assert BATCH_BYTES <= first * len(large) < BATCH_BYTES + len(large)
    assert received == [first, 2 * first, 80]


def test_ingest_counts_what_became_of_every_line(scene: Scene) -> None:
    wait = scene.listen()
    lines = [
        line(id="1", data={"n": 1}, at="2026-03-01T11:00:00+01:00"),
        line(id="1"),
        b"\n",
        line(id="1", source="crm", contact="eve"),
        line(contact="bob"),
        line(type="cart_abandoned"),
        b"{nonsense\n",
    ]
    totals, rejected = ingest(scene, *lines)
    assert totals == IngestTotals(received=6, recorded=3, duplicates=1, rejected=2, matched=1, without_id=1)
    assert [(each.line, each.error.code) for each in rejected] == [(6, "invalid_event_type"), (7, "invalid_event")]
    assert scene.statuses(wait) == "resumed"
    again, _ = ingest(scene, *lines)
    assert (again.recorded, again.duplicates, again.without_id, again.matched) == (1, 3, 1, 0)
    assert [event.occurred_at for event in scene.events.list_events(contact="ada")] == [NOON - timedelta(hours=2)]


@pytest.mark.parametrize(
    "bad",
    [
        b"\xff\xfe\n",
        b"[]\n",
        b"null\n",
        b'{"type":"email_open"}\n',
        b'{"type":"email_open","contact":null}\n',
        b'{"type":"email_open","contact":3}\n',
        b'{"type":"email_open","contact":""}\n',
        b'{"type":"email_open","contact":"ada","extra":1}\n',
        b'{"type":"email_open","contact":"ada","data":[1]}\n',
        b'{"type":"email_open","contact":"ada","data":{"a":NaN}}\n',
        b'{"type":"email_open","contact":"ada","data":{"a":1e400}}\n',
        b'{"type":"email_open","contact":"ada","data":{"a":' + b"9" * 4400 + b"}}\n",
        b'{"type":"email_open","contact":"ada","data":{"a":' + b"[" * 64 + b"]" * 64 + b"}}\n",
        b'{"type":"email_open","contact":"ada","data":[]}\n',
        b'{"type":"email_open","contact":"ada","data":{"a":"\\ud800"}}\n',
        b'{"type":"email_open","contact":"ada","data":{"a":"\xed\xa0\x80"}}\n',
        b'{"type":"email_open","contact":"ada","id":7}\n',
        b'{"type":"email_open","contact":"ada","at":"yesterday"}\n',
        b'{"type":"email_open","contact":"ada","at":"2026-03-01"}\n',
        b'{"type":"email_open","contact":"ada","at":20260301}\n',
        b'{"type":"email_open","contact":"ada","at":true}\n',
        b'{"type":"email_open","contact":"ada","at":1e400}\n',
        b'{"type":"email_open","contact":"ada","at":{}}\n',
        b'{"type":"email_open","contact":"ada","data":{"a":"\\u0000"}}\n',
        b"x" * (MAX_LINE + 10) + b"\n",
    ],
    ids=range(25),
)
def test_bad_line_is_named_and_the_rest_goes_on(scene: Scene, bad: bytes) -> None:
    totals, rejected = ingest(scene, line(id="1"), bad, line(id="2"))
    assert (totals.received, totals.recorded, totals.rejected) == (3, 2, 1)
    assert [each.line for each in rejected] == [2]
    assert isinstance(rejected[0].error, WaitStepError)
    assert "\n" not in rejected[0].error.message


def test_at_as_programs_write_it(scene: Scene) -> None:
    noon = (
        '"2026-03-01 12:00:00+00"',
        '"2026-03-01T13:00:00+0100"',
        '"2026-03-01T11:59:60Z"',
        "1772366400",
        '"1772366400"',
    )
    lines = [
        f'{{"type":"email_open","contact":"ada","at":{at},"data":{{"a":1e2}}}}\n' for at in (*noon, "1772366400000")
    ]
    # Data that pydantic's reader leaves to the other one.
    lines.append('{"type":"email_open","contact":"ada","at":1772366400.0,"data":{"a":"Infinity"}}\n')
    totals, rejected = ingest(scene, *(text.encode() for text in lines))
    assert (totals.recorded, rejected) == (len(lines), [])
    assert {event.occurred_at for event in scene.events.list_events()} == {NOON}


def test_ingest_goes_in_batches_and_a_dry_run_leaves_nothing(scene: Scene) -> None:
    lines = [line(id=str(number)) for number in range(2500)]
    assert ingest(scene, *lines, dry_run=True)[0].recorded == 2500
    assert scene.events.list_events() == []
    reached: list[int] = []
    totals, _ = ingest(scene, *lines, on_batch=lambda so_far: reached.append(so_far.recorded))
    assert (totals.recorded, reached) == (2500, [1000, 2000, 2500])


def test_last_line_needs_no_newline(scene: Scene) -> None:
    assert ingest(scene, json.dumps(line(id="1")).encode())[0].recorded == 1
