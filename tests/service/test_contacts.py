"""The register of contacts: the zone that it puts waits in, and what forgetting leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.scene import Scene
from waitctl import (
    EventQuery,
    EventService,
    Settings,
    Tick,
    WaitFilter,
    WaitSchedulingService,
    WaitSpec,
    load_settings,
    make_event,
)
from waitctl.application.contacts import ContactInput, ContactService
from waitctl.domain.errors import (
    ContactNotFoundError,
    InvalidInputError,
    InvalidSettingError,
    InvalidTimezoneError,
    InvalidWaitConfigurationError,
    WaitAlreadyOpenError,
)
from waitctl.infrastructure.config import SourceConfig
from waitctl.infrastructure.schema import metadata

BERLIN, TOKYO = "Europe/Berlin", "Asia/Tokyo"
EIGHT_IN_BERLIN = datetime(2026, 3, 2, 7, tzinfo=UTC)
EIGHT_IN_TOKYO = datetime(2026, 3, 1, 23, tzinfo=UTC)


@pytest.fixture
def contacts(scene: Scene) -> ContactService:
    return ContactService(scene.database, actor="test")


def eight(scene: Scene, execution: str = "e", **spec: Any) -> Any:
    return scene.waits.create_until_time_wait("08:00", WaitSpec(execution, contact_id="ada", **spec)).wait


# -- the register --------------------------------------------------------------------------------------------------------


def test_writes_and_reads(contacts: ContactService) -> None:
    found, affected = contacts.set_contact(ContactInput(" Ada@Example.org ", BERLIN, {"plan": "pro"}))
    assert (found.contact_id, found.timezone, found.data, affected) == ("ada@example.org", BERLIN, {"plan": "pro"}, 0)
    contacts.set_contact(ContactInput("ada@example.org", TOKYO))
    assert contacts.get_contact("ADA@example.org")[0] == replace(found, timezone=TOKYO)
    contacts.set_contact(ContactInput("ada@example.org", data={}))
    again, _ = contacts.get_contact("ada@example.org")
    assert again is not None
    assert (again.timezone, again.data) == (TOKYO, {})
    contacts.set_contact(ContactInput("bob", BERLIN))
    assert [each.contact_id for each in contacts.list_contacts(limit=0)] == ["ada@example.org", "bob"]
    assert [each.contact_id for each in contacts.list_contacts(limit=1, after="ada@example.org")] == ["bob"]
    contacts.remove_contact("bob")
    for call in (contacts.remove_contact, contacts.get_contact, contacts.forget_contact):
        with pytest.raises(ContactNotFoundError):
            call("bob")


@pytest.mark.parametrize("zone", ["+02:00", "GMT+2", "Berlin", "CET2"])
def test_a_zone_is_a_name(contacts: ContactService, zone: str) -> None:
    with pytest.raises(InvalidTimezoneError):
        contacts.set_contact(ContactInput("ada", zone))


def test_a_file_goes_in_but_for_its_bad_rows(contacts: ContactService) -> None:
    bad: list[int] = []
    rows: list[tuple[int, ContactInput | InvalidInputError]] = [
        (1, ContactInput("ada", BERLIN)),
        (2, ContactInput("bob", "nowhere")),
        (3, InvalidWaitConfigurationError("no contact")),
        (4, ContactInput("ada", TOKYO)),
    ]
    done = contacts.import_contacts(rows, lambda number, _: bad.append(number))
    assert (done.received, done.written, done.rejected, bad) == (4, 2, 2, [2, 3])
    assert [(each.contact_id, each.timezone) for each in contacts.list_contacts()] == [("ada", TOKYO)]


# -- the zone of a wait --------------------------------------------------------------------------------------------------


def test_the_zone_of_the_contact(scene: Scene, contacts: ContactService) -> None:
    contacts.set_contact(ContactInput("ada", TOKYO))
    wait = eight(scene, zone_of_contact=True, timezone=BERLIN)
    assert (wait.timezone, wait.scheduled_at) == (TOKYO, EIGHT_IN_TOKYO)
    assert scene.get(wait).wait_config["tz_contact"] is True
    unknown = scene.waits.create_until_time_wait(
        "08:00", WaitSpec("other", contact_id="bob", zone_of_contact=True, timezone=BERLIN)
    )
    assert (unknown.wait.timezone, unknown.wait.scheduled_at) == (BERLIN, EIGHT_IN_BERLIN)
    dry = scene.waits.create_until_time_wait(
        "08:00", WaitSpec("dry", contact_id="ada", zone_of_contact=True), dry_run=True
    )
    assert dry.wait.scheduled_at == EIGHT_IN_TOKYO


def test_the_zone_of_a_field_before_the_contacts_before_the_named_one(scene: Scene, contacts: ContactService) -> None:
    contacts.set_contact(ContactInput("ada", TOKYO))
    asked: dict[str, Any] = {"zone_field": "user.tz", "zone_of_contact": True, "timezone": "UTC"}
    in_field = eight(scene, "field", context={"user": {"tz": BERLIN}}, **asked)
    assert (in_field.timezone, in_field.scheduled_at) == (BERLIN, EIGHT_IN_BERLIN)
    contexts: list[dict[str, Any] | None] = [{"user": {}}, {"user": {"tz": None}}, {"user": {"tz": ""}}, None]
    for number, context in enumerate(contexts):
        assert eight(scene, f"without{number}", context=context, **asked).timezone == TOKYO
    assert eight(scene, "neither", zone_field="user.tz", timezone=BERLIN).timezone == BERLIN


@pytest.mark.parametrize("zone", ["+02:00", "nowhere", 2, {"name": BERLIN}])
def test_a_field_that_holds_no_zone_is_an_error(scene: Scene, zone: object) -> None:
    with pytest.raises(InvalidTimezoneError, match="user"):
        eight(scene, zone_field="user", context={"user": zone})
    assert scene.waits.list_waits()[0] == []


def test_the_zone_of_the_contact_needs_one(scene: Scene) -> None:
    with pytest.raises(InvalidWaitConfigurationError, match="needs a contact"):
        scene.waits.create_until_time_wait("08:00", WaitSpec("e", zone_of_contact=True))


def test_a_deadline_too_is_in_that_zone(scene: Scene, contacts: ContactService) -> None:
    contacts.set_contact(ContactInput("ada", TOKYO))
    assert scene.listen(zone_of_contact=True).timezone == TOKYO


def test_the_same_create_finds_its_wait_whatever_the_zone_is_now(scene: Scene, contacts: ContactService) -> None:
    contacts.set_contact(ContactInput("ada", TOKYO))
    wait = eight(scene, zone_of_contact=True)
    contacts.set_contact(ContactInput("ada", BERLIN))
    assert eight(scene, zone_of_contact=True).id == wait.id
    with pytest.raises(WaitAlreadyOpenError):
        eight(scene, timezone=TOKYO)


def test_a_change_of_zone_is_offered_to_replan(scene: Scene, contacts: ContactService) -> None:
    contacts.set_contact(ContactInput("ada", TOKYO))
    wait, named = eight(scene, zone_of_contact=True), eight(scene, "named", timezone=TOKYO)
    _, affected = contacts.set_contact(ContactInput("ada", BERLIN))
    assert affected == 1
    assert contacts.set_contact(ContactInput("ada", BERLIN))[1] == 0
    diff = scene.rescheduling.replan(WaitFilter(contact_id="ada"), apply=True)
    assert [(change.wait.id, change.zone, change.after) for change in diff.changes] == [
        (wait.id, BERLIN, EIGHT_IN_BERLIN)
    ]
    assert scene.get(wait).timezone == BERLIN
    assert scene.get(named).timezone == TOKYO
    assert "zone Asia/Tokyo → Europe/Berlin" in scene.waits.get_history(wait.id)[-1].reason


def test_events_tell_the_zone(scene: Scene, contacts: ContactService) -> None:
    settings = Settings(scene.url, sources={"crm": SourceConfig("crm", timezone="data.user.tz")})
    events = EventService(scene.database, settings=settings)

    def record(source: str, zone: object, external_id: str | None = None) -> None:
        events.record(
            make_event("email_open", "ada", data={"user": {"tz": zone}}, source=source, external_id=external_id)
        )

    record("crm", BERLIN, "1")
    assert [each.timezone for each in contacts.list_contacts()] == [BERLIN]
    record("crm", TOKYO, "1")  # a duplicate tells nothing
    for nothing in ("+02:00", None, 3):
        record("crm", nothing)
    record("other", TOKYO)
    assert [each.timezone for each in contacts.list_contacts()] == [BERLIN]
    lines = [(1, b'{"type": "email_open", "contact": "ada", "data": {"user": {"tz": "Asia/Tokyo"}}}')]
    events.ingest_ndjson(lines, source="crm")
    assert [each.timezone for each in contacts.list_contacts()] == [TOKYO]


def test_a_row_of_the_inbox_table_tells_the_zone(scene: Scene, contacts: ContactService) -> None:
    """By whichever door it is let in: a tick, or a new wait that looks back."""
    settings = Settings(scene.url, sources={"crm": SourceConfig("crm", timezone="data.tz")})

    def insert(contact: str, zone: str, source: str = "crm", event_type: str = "email_open") -> None:
        scene.insert_event(event_type, contact, f'{{"tz": "{zone}"}}', source)

    insert(" Ada@Example.org", BERLIN)
    insert("bob", "+02:00")
    insert("eve", TOKYO, "other")
    insert("kim", TOKYO, event_type="nothing")  # refused
    scene.on_the_real_clock()
    assert Tick(scene.database, settings).run().correlated == 3
    assert [(each.contact_id, each.timezone) for each in contacts.list_contacts()] == [("ada@example.org", BERLIN)]
    insert("zoe", TOKYO)
    waits = WaitSchedulingService(scene.database, settings=settings)
    waits.create_event_wait(EventQuery(("email_open",)), WaitSpec("z", contact_id="zoe"))
    assert [each.timezone for each in contacts.list_contacts()] == [BERLIN, TOKYO]


# -- forgetting ----------------------------------------------------------------------------------------------------------


def _everything(scene: Scene) -> str:
    """All that the database holds, as one text."""
    with scene.database.read() as connection:
        return "\n".join(
            str(tuple(row)) for table in metadata.sorted_tables for row in connection.execute(sa.select(table))
        )


def _fill(scene: Scene, contacts: ContactService, who: str) -> list[str]:
    contacts.set_contact(ContactInput(who, TOKYO, {"name": who}))
    due = scene.create("30m", f"order-{who}", contact_id=who, handler="nudge", idempotency_key=f"key-{who}")
    scene.record("email_open", who, data={"who": who}, external_id=who[:3], source="crm")
    heard = scene.listen("email_click", contact=who, execution=f"e-{who}", match={"who": who})
    waiting = scene.listen("form_submit", contact=who, execution=f"w-{who}", context={"who": who}, timeout="3d")
    scene.record("email_click", who, data={"who": who})
    scene.waits.resume_wait(
        scene.create("1h", f"done-{who}", contact_id=who, handler="nudge").wait.id,
        data={"who": who},
        reason=f"by {who}",
    )
    return [due.wait.id, heard.id, waiting.id]


def test_forgetting_leaves_nothing_of_a_person(scene: Scene, contacts: ContactService) -> None:
    due, heard, waiting = _fill(scene, contacts, "ada@example.org")
    other = _fill(scene, contacts, "bob@example.org")
    _, held = contacts.get_contact("ada@example.org")
    assert held == {"waits": 4, "open": 2, "listeners": 2, "events": 2, "recurrences": 0}
    assert contacts.forget_contact("ada@example.org", dry_run=True) == held
    before = _everything(scene)

    done = contacts.forget_contact(" ADA@example.org")

    assert "ada@example.org" in before
    text = _everything(scene)
    assert "ada@example.org" not in text
    assert text.count("bob@example.org") == before.count("bob@example.org")
    assert (done["waits"], done["events"], done["contacts"], done["listeners"]) == (4, 2, 1, 2)
    assert scene.statuses(scene.get(due), scene.get(heard), scene.get(waiting)) == "cancelled resumed cancelled"
    assert scene.waits.get_history(waiting)[-1].reason == "as of 2026-03-01T12:00:00Z: contact forgotten"
    assert [scene.get(each).status for each in other] == ["scheduled", "resumed", "waiting"]
    with pytest.raises(ContactNotFoundError):
        contacts.get_contact("ada@example.org")


def test_nothing_is_sent_to_somebody_forgotten_while_a_wait_was_due(scene: Scene, contacts: ContactService) -> None:
    _fill(scene, contacts, "ada")
    scene.at(31)
    contacts.forget_contact("ada")
    report = scene.tick()
    assert (report.resumed, report.delivered) == (0, 0)
    assert set(scene.sql("SELECT status FROM workflow_wait_deliveries")) == {("dropped",)}
    explained = [scene.rescheduling.explain_wait(status.wait.id) for status in scene.waits.list_waits()[0]]
    assert len(explained) == 4


def test_the_same_event_again_is_still_known(scene: Scene, contacts: ContactService) -> None:
    scene.record("email_open", "ada", external_id="1", source="crm")
    contacts.forget_contact("ada")
    assert scene.record("email_open", "ada", external_id="1", source="crm").duplicate


def test_where_a_source_tells_the_zone(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[sources.crm]\ntimezone = "data.user.tz"\n')
    assert load_settings(config=str(file), environ={}).sources["crm"].timezone == "data.user.tz"
    for wrong in ("tz", "data", "data.", "event.data.tz"):
        file.write_text(f'[sources.crm]\ntimezone = "{wrong}"\n')
        with pytest.raises(InvalidSettingError, match=r"sources\.crm\.timezone"):
            load_settings(config=str(file), environ={})
