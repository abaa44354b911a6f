"""The inbox table: other systems insert events with their own driver, the next tick correlates them."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.scene import Scene
from waitctl import Database, Settings, Tick, load_settings
from waitctl.application.events.webhooks import WebhookService
from waitctl.application.processor.run import Phase
from waitctl.domain.errors import InvalidEventError, PayloadCutError
from waitctl.domain.quarantine import MAX_KEPT
from waitctl.domain.text import MAX_JSON, parse_json_object


@pytest.fixture
def scene(scene: Scene) -> Scene:
    """What comes in by the inbox table is received on the real clock."""
    return scene.on_the_real_clock()


def test_inserted_event_waits_for_the_next_tick(scene: Scene) -> None:
    wait = scene.listen()
    scene.insert_event(data='{"n": 1}', external_id="m-1", occurred_at="2026-03-01 11:00:00+00:00")
    assert scene.statuses(wait) == "waiting"
    report = scene.tick()
    assert (report.correlated, report.resumed) == (1, 1)
    (event,) = scene.events.list_events()
    assert (event.source, event.external_id, event.data, event.matched) == ("crm", "m-1", {"n": 1}, (wait.id,))
    assert event.occurred_at == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert scene.tick().correlated == 0


def test_contact_is_brought_into_its_one_form(scene: Scene) -> None:
    wait = scene.listen(contact="zoë@example.org")
    scene.insert_event(contact_id="  whatsapp:Zoe\u0308@Example.ORG ")
    assert scene.tick().resumed == 1
    assert scene.statuses(wait) == "resumed"
    assert [event.contact_id for event in scene.events.list_events()] == ["zoë@example.org"]


def test_same_source_and_id_twice_is_refused_by_the_table(scene: Scene) -> None:
    scene.create()
    scene.insert_event(external_id="m-1")
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.UniqueViolation)):
        scene.insert_event(external_id="m-1")
    scene.insert_event(external_id="m-1", source="other")
    assert scene.tick().correlated == 2
    assert scene.record(external_id="m-1", source="crm").duplicate


def test_id_of_a_pruned_event_has_no_effect(scene: Scene) -> None:
    wait = scene.listen()
    scene.sql("INSERT INTO waitctl_tombstones (kind, scope, key) VALUES ('event_id', 'crm', 'm-1')")
    scene.insert_event(external_id="m-1")
    assert scene.tick().resumed == 0
    assert scene.statuses(wait) == "waiting"
    assert scene.listen(execution="later").status == "waiting"


def test_only_the_columns_that_somebody_knows(scene: Scene) -> None:
    wait = scene.listen()
    scene.sql("INSERT INTO workflow_events (event_type, contact_id) VALUES ('email_open', 'ada')")
    assert scene.tick().resumed == 1
    (event,) = scene.events.list_events()
    assert (event.data, event.source, event.external_id, event.matched) == ({}, "sql", None, (wait.id,))
    assert event.id[14] == "7"  # a UUIDv7, as everywhere
    assert event.received_at is not None and abs(datetime.now(UTC) - event.received_at).total_seconds() < 600  # noqa: TID251


@pytest.mark.parametrize(("event_type", "contact_id"), [("", "ada"), ("email_open", "")])
def test_event_without_a_topic_is_refused_by_the_table(scene: Scene, event_type: str, contact_id: str) -> None:
    scene.create()
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.CheckViolation)):
        scene.insert_event(event_type, contact_id)


def test_a_name_without_end_is_kept_cut(scene: Scene) -> None:
    """As a payload is: else it would fill what the quarantine holds of a source, and every list of it."""
    scene.insert_event(source="crm" * 500)
    scene.tick()
    ((source, *_),) = quarantined(scene)
    assert source == ("crm" * 500)[:255]


def quarantined(scene: Scene) -> list[tuple[str, str, str, str]]:
    service = WebhookService(scene.database, Settings(scene.url))
    return [(row.source, row.format, row.code, row.message) for row in service.list_quarantined()]


REFUSED = [
    ({"event_type": "email_opend"}, "invalid_event_type", "'email_opend' is not a registered event type"),
    ({"event_type": "e mail"}, "invalid_event_type", "'e mail' cannot name an event type"),
    ({"contact_id": "x" * 300}, "invalid_event", "the contact"),
    ({"contact_id": "a\nb"}, "invalid_event", "the contact"),
    ({"contact_id": " "}, "invalid_event", "the contact"),
    ({"external_id": "a\tb"}, "invalid_event", "the id"),
    ({"data": json.dumps({"a": "x" * MAX_JSON})}, "invalid_event", "the data is larger than 262,144 bytes"),
]


@pytest.mark.parametrize(("fields", "code", "says"), REFUSED)
def test_what_no_other_door_would_take_goes_to_the_quarantine_and_blocks_nothing(
    scene: Scene, fields: dict[str, Any], code: str, says: str
) -> None:
    wait = scene.listen()
    scene.insert_event(**fields)
    scene.insert_event()
    report = scene.tick()
    assert (report.correlated, report.resumed) == (1, 1)
    assert scene.statuses(wait) == "resumed"
    ((source, form, given, message),) = quarantined(scene)
    assert (source, form, given) == ("crm", "inbox", code)
    assert message.startswith(says)
    assert len(scene.events.list_events()) == 1
    assert scene.tick().correlated == 0


def test_what_is_too_large_is_neither_read_whole_nor_kept_whole(scene: Scene) -> None:
    scene.listen(where="event.data.a != ''")
    for number in range(3):
        scene.insert_event(data=json.dumps({"a": "x" * 3_000_000, "n": number}))
    scene.tick()
    service = WebhookService(scene.database, Settings(scene.url))
    kept = [service.get_quarantined(row.id) for row in service.list_quarantined()]
    assert [len(row.body) for row in kept] == [MAX_KEPT] * 3
    assert all(row.size > 3_000_000 for row in kept)
    with pytest.raises(PayloadCutError):
        service.replay(kept[0].id)


def test_a_refused_row_can_be_taken_in_again(scene: Scene) -> None:
    scene.insert_event(
        "cart_left", " Zoe\u0308@Example.org", data='{"n": 1}', external_id="7", occurred_at="2026-03-01 11:00Z"
    )
    scene.tick()
    service = WebhookService(scene.database, Settings(scene.url))
    (row,) = service.list_quarantined()
    assert service.replay(row.id)[1].totals.rejected == 1
    scene.events.add_type("cart_left")
    wait = scene.listen("cart_left", contact="zoë@example.org")
    _, result = service.replay(row.id)
    assert (result.totals.recorded, result.totals.matched) == (1, 1)
    (event,) = scene.events.list_events()
    assert (event.source, event.external_id, event.data, event.matched) == ("crm", "7", {"n": 1}, (wait.id,))
    assert event.occurred_at == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert service.list_quarantined() == []


# -- before a tick -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelled", ["zoë@example.org", "Zoe\u0308@Example.org", "\tzoë@example.org\n", "WhatsApp:zoë@example.org"]
)
def test_a_row_is_brought_into_form_by_the_wait_that_looks_back(scene: Scene, spelled: str) -> None:
    scene.create(execution="there")
    scene.insert_event(contact_id=spelled)
    scene.insert_event(contact_id="Eve@Example.org")
    wait = scene.listen(contact="zoë@example.org")
    assert wait.status == "resumed"
    assert {event.contact_id: event.matched for event in scene.events.list_events()} == {
        "zoë@example.org": (wait.id,),
        "Eve@Example.org": (),
    }
    other = scene.listen(execution="other", contact="eve@example.org")
    assert (other.status, scene.tick().correlated) == ("resumed", 2)


@pytest.mark.parametrize(("fields", "code", "says"), REFUSED[-2:])
def test_a_row_is_refused_by_the_wait_that_looks_back(
    scene: Scene, fields: dict[str, Any], code: str, says: str
) -> None:
    scene.create(execution="there")
    scene.insert_event(**fields)
    assert scene.listen().status == "waiting"
    assert [row[2] for row in quarantined(scene)] == [code]
    assert scene.tick().correlated == 0


def test_the_event_that_completes_a_count_is_the_one_correlated_last(scene: Scene) -> None:
    """Though the other one was received after it."""
    wait = scene.listen(count=2)
    scene.insert_event(external_id="early")
    scene.record(external_id="late")
    assert scene.tick().resumed == 1
    events = {event.external_id: event.id for event in scene.events.list_events()}
    assert scene.get(wait).resolution_event_id == events["early"]


def test_of_events_that_complete_a_count_together_it_is_the_last_received(scene: Scene) -> None:
    wait = scene.listen(count=3)
    scene.record(external_id="0")
    for number in "12":
        scene.insert_event(external_id=number)
    scene.tick()
    events = {event.external_id: event.id for event in scene.events.list_events()}
    assert scene.get(wait).resolution_event_id == events["2"]


@pytest.mark.parametrize("data", ["[1, 2]", '"text"', "3", "null"])
def test_stored_data_that_is_no_object_matches_only_what_asks_nothing_of_it(scene: Scene, data: str) -> None:
    """Versions before took it in from the inbox table."""
    scene.create()
    scene.insert_event(data=data)
    scene.sql("UPDATE workflow_events SET correlated_at = received_at")
    picky, easy = scene.listen(execution="picky", match={"n": "1"}), scene.listen(execution="easy")  # by look-back
    assert scene.statuses(picky, easy) == "waiting resumed"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01T11:00:00Z", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("2026-03-01T12:00:00+01:00", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("2026-03-01 11:00:00", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("2026-03-01 11:00", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("2026-03-01T11:00:00.5Z", datetime(2026, 3, 1, 11, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01 12:00+0100", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("2026-03-01T11:00:00+00", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("2026-03-01T10:59:60Z", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("1772362800", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("1772362800500", datetime(2026, 3, 1, 11, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_instants_come_in_many_forms_on_sqlite(sqlite_scene: Scene, text: str, instant: datetime) -> None:
    scene = sqlite_scene.on_the_real_clock()
    wait = scene.listen()
    scene.insert_event(occurred_at=text)
    assert [event.contact_id for event in scene.events.list_events()] == ["ada"]  # readable before a tick, too
    scene.tick()
    (event,) = scene.events.list_events()
    assert (event.occurred_at, event.matched) == (instant, (wait.id,))


@pytest.mark.parametrize("text", ["yesterday-ish", "", "12", "2026-02-30T11:00:00Z", "0044-03-15T00:00:00Z"])
@pytest.mark.parametrize("ticks", [True, False])
def test_an_instant_that_cannot_be_read_is_an_error_never_null(sqlite_scene: Scene, text: str, ticks: bool) -> None:
    scene = sqlite_scene.on_the_real_clock()
    scene.create(execution="there")
    scene.insert_event(occurred_at=text)
    if ticks:
        scene.tick()
    assert scene.listen(timeout="1h", grace="1h").status == "waiting"
    ((_, _, code, message),) = quarantined(scene)
    assert (code, message[:12]) == ("invalid_event", "occurred_at:")


def test_instant_by_another_zones_clock_decides_like_any_other(sqlite_scene: Scene) -> None:
    """12:59 in Berlin is before noon in UTC, though its text sorts after."""
    scene = sqlite_scene
    wait = scene.listen(timeout="1m", grace="100w")
    scene.insert_event(occurred_at="2026-03-01T12:59:00+01:00")
    scene.sql("UPDATE workflow_events SET received_at = '2026-03-01T12:05:00Z'")
    scene.at(10).tick()
    assert scene.statuses(wait) == "resumed"


@pytest.mark.parametrize("types", [("email_open",), ("email_open", "sms_reply"), ("sms_reply", "email_open")])
def test_event_at_the_door_is_not_overtaken_by_the_sweeper(scene: Scene, types: tuple[str, ...]) -> None:
    """It came in time, nobody has correlated it, and the deadline has passed: the deadline decides."""
    wait = scene.listen(*types, timeout="1h")
    scene.insert_event("email_open")
    assert wait.timeout_at is not None
    scene.database.as_of = wait.timeout_at
    assert scene.tick(only=frozenset({Phase.EXPIRED})).timed_out == 0
    assert scene.tick().resumed == 1
    assert scene.statuses(wait) == "resumed"


def test_door_is_worked_off_in_batches(scene: Scene) -> None:
    waits = [scene.listen(execution=f"e{number}", contact=f"c{number}") for number in range(5)]
    for number in range(5):
        scene.insert_event(contact_id=f"c{number}")
    first = scene.tick(batch_size=2, max_batches=1, only=frozenset({Phase.EVENTS}))
    assert (first.correlated, first.stopped) == (2, "max_batches")
    assert scene.tick(batch_size=2).correlated == 3
    assert scene.statuses(*waits) == " ".join(["resumed"] * 5)


@pytest.mark.parametrize(
    "data",
    [
        r'{"a": "\ud800"}',
        '{"a": 1e400}',
        '{"a": 1e5000}',
        '{"a": ' + "9" * 5000 + "}",
        '{"a": ' + "[" * 260 + "]" * 260 + "}",
        '{"a": ' + "[" * 900 + "]" * 900 + "}",
        '{"a": ' + "[" * 998 + "]" * 998 + "}",
        ' {"a": ' + "[" * 998 + "]" * 998 + "} ",
    ],
    ids=["surrogate", "infinite", "large", "long", "deep", "deeper", "deepest", "deepest-between-blanks"],
)
def test_data_that_python_cannot_write_and_is_stored_already_poisons_no_tick(
    scene: Scene, tmp_path: Path, data: str
) -> None:
    """Versions before took it in from the inbox table."""
    out = scene.handle(tmp_path, "cat >> $OUT")
    other = scene.listen(execution="other", contact="eve", handler="nudge")
    try:
        scene.insert_event(data=data)
    except psycopg.DataError:  # jsonb refuses lone surrogates itself
        scene.insert_event(data="{}")
    scene.sql("UPDATE workflow_events SET correlated_at = received_at")
    waits = [scene.listen(handler="nudge"), other]  # by look-back
    scene.listen(execution="matches", handler="nudge", match={"b": "1"})
    scene.listen(execution="judged", handler="nudge", where="event.data.b == 1")
    scene.insert_event(contact_id="eve")
    assert scene.tick().delivered == 2
    assert scene.statuses(*waits) == "resumed resumed"
    assert len(out.read_text().splitlines()) == 2


def test_stored_data_that_only_postgresql_can_read_poisons_no_tick(postgres_scene: Scene, tmp_path: Path) -> None:
    """SQLite reads a thousand levels at most."""
    data = '{"a": ' + "[" * 3000 + "]" * 3000 + "}"
    out = postgres_scene.handle(tmp_path, "cat >> $OUT")
    postgres_scene.create(execution="first")
    postgres_scene.insert_event(data=data)
    postgres_scene.sql("UPDATE workflow_events SET correlated_at = received_at")
    plain = postgres_scene.listen(handler="nudge", timeout=None)
    judged = postgres_scene.listen(execution="judged", handler="nudge", timeout=None, where="event.data.b == 1")
    assert postgres_scene.tick().delivered == 1
    assert postgres_scene.statuses(plain, judged) == "resumed waiting"
    assert json.loads(out.read_text())["event"]["data"] == data


LONG = "x" * 9000
"""More than is taken along with the other rows."""

NO_DATA = {
    "number": "5",
    "array": "[1]",
    "null": "null",
    "string": '"a"',
    "true": "true",
    "deep": '{"a": ' + "[" * 65 + "]" * 65 + "}",
    "objects": '{"a": ' * 65 + "1" + "}" * 65,
    "deeper": '{"a": ' * 900 + "1" + "}" * 900,
    "deep-and-long": f'{{"b": "{LONG}", "a": ' + "[" * 65 + "]" * 65 + "}",
    "digits": '{"a": ' + "9" * 5000 + "}",
    "digits-and-long": '{"a": ' + "9" * 9000 + "}",
}


@pytest.mark.parametrize("data", NO_DATA.values(), ids=NO_DATA)
def test_data_is_judged_as_event_record_judges_it(scene: Scene, data: str) -> None:
    refused(scene, data)


UNPLAIN = {
    "surrogate": r'{"a": "\ud800"}',
    "half-of-a-key": r'{"\uDC00": 1}',
    "nul": r'{"a": "\u0000"}',
    "infinite": '{"a": 1e999}',
    "below": '{"a": -1E400}',
    "large-and-long": f'{{"b": "{LONG}", "a": 1e5000}}',
}


@pytest.mark.parametrize("data", UNPLAIN.values(), ids=UNPLAIN)
def test_what_postgresql_does_not_store_as_it_came_is_judged_on_sqlite(sqlite_scene: Scene, data: str) -> None:
    """PostgreSQL refuses half a character itself, and has written 1e999 out before anybody looks."""
    refused(sqlite_scene.on_the_real_clock(), data)


def refused(scene: Scene, data: str) -> None:
    with pytest.raises(InvalidEventError) as by_record:
        parse_json_object(data, "the data", error=InvalidEventError)
    wait = scene.listen()
    scene.insert_event(data=data)
    assert scene.tick().correlated == 0
    assert quarantined(scene) == [("crm", "inbox", "invalid_event", by_record.value.message)]
    assert scene.statuses(wait) == "waiting"


TAKEN = {
    "blanks": ' {"a": 1} ',
    "levels": '{"a": ' * 64 + "1" + "}" * 64,
    "escapes": r'{"a": "\u00e9 \ud83d\ude00", "b": "\\u0000"}',
    "numbers": '{"a": 1e20, "b": 123456789012345678901234567890, "c": "9e9"}',
    "long": json.dumps({"a": LONG}),
    "brackets": json.dumps({"a": "[" * 9000}),
}


@pytest.mark.parametrize("data", TAKEN.values(), ids=TAKEN)
def test_what_event_record_takes_comes_in(scene: Scene, data: str) -> None:
    wait = scene.listen()
    scene.insert_event(data=data)
    assert scene.tick().resumed == 1
    assert scene.statuses(wait) == "resumed"
    (event,) = scene.events.list_events()
    assert event.data == parse_json_object(data, "the data")


def test_a_wait_that_looks_back_judges_data_too(scene: Scene) -> None:
    scene.create()
    scene.insert_event(data="[1]")
    wait = scene.listen(execution="later")
    assert scene.statuses(wait) == "waiting"
    assert [row[2] for row in quarantined(scene)] == ["invalid_event"]


@pytest.mark.parametrize("column", ["event_type", "contact_id", "data", "source", "external_id", "occurred_at"])
def test_bytes_stop_at_the_door_of_sqlite(sqlite_url: str, column: str) -> None:
    """SQLite's columns take anything; what came in as bytes would stop every tick."""
    values = {"event_type": "'email_open'", "contact_id": "'ada'"} | {column: "CAST('{}' AS BLOB)"}
    statement = f"INSERT INTO workflow_events ({', '.join(values)}) VALUES ({', '.join(values.values())})"
    with Database(sqlite_url) as database, pytest.raises(sqlite3.IntegrityError, match="holds_no_bytes"):
        database.write(lambda connection: connection.execute(statement))


@pytest.mark.parametrize("at", ["infinity", "-infinity", "0044-03-15 BC", "12000-01-01"])
@pytest.mark.parametrize("column", ["occurred_at", "received_at"])
def test_what_is_on_no_calendar_stops_at_the_door_of_postgresql(postgres_url: str, column: str, at: str) -> None:
    statement = f"INSERT INTO workflow_events (event_type, contact_id, {column}) VALUES ('email_open', 'ada', '{at}')"
    with Database(postgres_url) as database, pytest.raises(psycopg.IntegrityError, match="is_on_the_calendar"):
        database.write(lambda connection: connection.execute(statement))


@pytest.mark.parametrize("received_at", ["", "yesterday"])
def test_an_unreadable_receipt_stops_no_tick(sqlite_url: str, received_at: str) -> None:
    insert = (
        f"INSERT INTO workflow_events (event_type, contact_id, received_at) VALUES ('sms_reply', 'a', '{received_at}')"
    )
    with Database(sqlite_url) as database:
        database.write(lambda connection: connection.execute(insert))
        assert Tick(database, load_settings(database_url=sqlite_url)).run().correlated == 1
