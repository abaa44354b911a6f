"""Tab: what a command takes is offered, with what it is, and nothing is ever said instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer._completion_classes import ZshComplete

from tests.cli.processes import Waitctl
from waitctl import (
    ContactService,
    Database,
    DeliveryService,
    EventService,
    TemplateService,
    WaitSchedulingService,
    WaitSpec,
    make_event,
)
from waitctl.application.contacts import ContactInput
from waitctl.application.operations.bulk import BulkService
from waitctl.application.waits.recurring import RecurrenceService
from waitctl.cli.app import app
from waitctl.domain.filters import WaitFilter
from waitctl.domain.plans import PlanKind
from waitctl.domain.recurrence import RecurrenceRule

Tab = Callable[[str], dict[str, str | None]]


@pytest.fixture
def tab(monkeypatch: pytest.MonkeyPatch, url: str) -> Tab:
    """What Tab offers behind a line, each with what it is."""
    monkeypatch.setenv("WAITCTL_DATABASE_URL", url)
    monkeypatch.setenv("_WAITCTL_COMPLETE", "complete_zsh")

    def offered(line: str) -> dict[str, str | None]:
        *words, incomplete = line.split(" ")
        command: Any = typer.main.get_command(app)
        found = ZshComplete(command, {}, "waitctl", "_WAITCTL_COMPLETE").get_completions(words, incomplete)
        return {each.value: each.help for each in found}

    return offered


def test_waits_and_executions(tab: Tab, database: Database) -> None:
    service = WaitSchedulingService(database)
    first = service.create_fixed_time_wait("1h", WaitSpec("order-17", step_id="remind")).wait
    second = service.create_fixed_time_wait("1h", WaitSpec("order-18")).wait
    service.cancel_wait(second.id)
    assert tab("history ") == {
        second.id[-12:]: "order-18 wait: fixed-time, cancelled",
        first.id[-12:]: "order-17 remind: fixed-time, scheduled",
    }
    assert list(tab(f"history {first.id[-12:-4]}")) == [first.id[-12:]]
    assert list(tab(f"why {first.id[:30]}")) == [first.id]
    assert tab("list --execution order-17") == {"order-17": "remind: fixed-time, scheduled"}
    assert list(tab("status -e ")) == ["order-18", "order-17"]


def test_a_command_offers_what_it_can_change(tab: Tab, database: Database) -> None:
    service = WaitSchedulingService(database)
    done, still = (service.create_fixed_time_wait("1h", WaitSpec(name, handler="nudge")).wait for name in ("a", "b"))
    resumed = service.resume_wait(done.id).wait
    tails = {"open": still.id[-12:], "ended": done.id[-12:]}
    for command in ("cancel", "resume", "reschedule", "update", "await"):
        assert list(tab(f"{command} ")) == [tails["open"]], command
    for command in ("status", "why", "explain", "history"):
        assert list(tab(f"{command} ")) == [tails["open"], tails["ended"]], command
    for command in ("cancel", "replan", "bulk cancel", "bulk reschedule"):
        assert list(tab(f"{command} --execution ")) == ["b"], command
    assert list(tab("bulk retry --execution ")) == ["b", "a"]

    [delivery] = resumed.deliveries
    outbox = DeliveryService(database)
    assert list(tab("delivery drop ")) == [delivery.id[-12:]]
    outbox.drop(delivery.id)
    assert tab("delivery drop ") == {}
    assert list(tab("delivery retry ")) == list(tab("delivery show ")) == [delivery.id[-12:]]


def test_recurrences_plans_and_contacts(tab: Tab, database: Database) -> None:
    recurrences = RecurrenceService(database)
    rule = RecurrenceRule.parse(every="1w")
    first, second = (recurrences.create(rule, WaitSpec(name)).recurrence for name in ("a", "b"))
    recurrences.pause(first.id)
    paused, active = {first.id[-12:]: "a wait: paused"}, {second.id[-12:]: "b wait: active"}
    assert tab("recurring pause ") == active and tab("recurring unpause ") == paused
    assert tab("recurring stop ") == tab("recurring show ") == active | paused

    bulk = BulkService(database)
    plan = bulk.plan(PlanKind.CANCEL, WaitFilter(execution_id="b"))
    assert tab("bulk apply ") == {plan.id[-12:]: "cancel: planned"}
    assert tab("bulk undo ") == {}
    bulk.apply(plan.id)
    assert tab("bulk apply ") == {}
    assert tab("bulk undo ") == tab("bulk show ") == {plan.id[-12:]: "cancel: applied"}

    contacts = ContactService(database)
    for name in ("ada", "adele", "bob"):
        contacts.set_contact(ContactInput(name, timezone="Europe/Berlin"))
    assert tab("contact show ad") == {"ada": "a contact", "adele": "a contact"}


def test_events_and_their_types(tab: Tab, database: Database) -> None:
    events = EventService(database)
    events.add_type("payment")
    event = events.record(make_event("payment", "ada"))
    assert event.event_id is not None
    assert tab("event show ") == {event.event_id[-12:]: "payment of ada"}
    assert list(tab("event record pay")) == ["payment"]
    assert list(tab("create for-event email_open,pay")) == ["email_open,payment"]
    assert list(tab("create for-event email_open|email_c")) == ["email_open|email_click"]
    assert "sms_reply" in tab("event list --type ")


def test_deliveries(tab: Tab, database: Database) -> None:
    service = WaitSchedulingService(database)
    wait = service.resume_wait(service.create_fixed_time_wait("1h", WaitSpec("e", handler="nudge")).wait.id).wait
    [delivery] = wait.deliveries
    assert tab("delivery retry ") == {delivery.id[-12:]: "manual to nudge: pending"}
    assert tab("event quarantine show ") == {}


def test_what_needs_no_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tab: Tab) -> None:
    monkeypatch.setenv("WAITCTL_DATABASE_URL", f"sqlite:///{tmp_path / 'nowhere' / 'waits.db'}")
    config = tmp_path / "config.toml"
    config.write_text('[handlers.nudge]\nexec = ["true"]\n[calendars.company]\nbase = "DE"\n')
    config.chmod(0o600)
    monkeypatch.setenv("WAITCTL_CONFIG", str(config))
    assert tab("create fixed-time 3d --handler n") == {"nudge": "a handler"}
    assert list(tab("create fixed-time 3d --handler timeout=")) == ["timeout=nudge"]
    assert "Europe/Berlin" in tab("create until-time 9 --tz europe/b")
    assert list(tab("create fixed-time 3d --calendar comp")) == ["company"]
    assert list(tab("calendar show NYS")) == ["NYSE"]
    assert list(tab("list --type f")) == ["fixed-time", "for-event"]
    assert list(tab("list --status can")) == ["cancelled"]
    assert "email_open" in tab("event record e")
    assert tab("cancel ") == {} and not (tmp_path / "nowhere").exists()


def test_what_there_is_help_about(tab: Tab) -> None:
    assert tab("help fo") == {"forms": "a topic", "formats": "a topic"}
    assert tab("help ev") == {"events": "a topic", "event": "Record events and look at them."}


def test_a_config_that_is_broken_is_no_reason_to_speak(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tab: Tab
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("nonsense")
    monkeypatch.setenv("WAITCTL_CONFIG", str(config))
    for line in ("cancel ", "create fixed-time 1h --handler ", "create fixed-time 1h --calendar D"):
        assert tab(line) == {}


def test_by_process(run: Waitctl) -> None:
    run("create", "fixed-time", "1h", "-e", "order-17", "-o", "id").ok()
    line = {"_WAITCTL_COMPLETE": "complete_bash", "COMP_WORDS": "waitctl list -e ", "COMP_CWORD": "3"}
    assert run(env=line).ok().lines == ["order-17"]


def test_templates_and_their_placeholders(tab: Tab, database: Database, tmp_path: Path) -> None:
    templates = TemplateService(database)
    for argv in (["fixed-time", "{days:int}d", "-e", "{id}"], ["fixed-time", "{days:int}h", "-e", "{id}"]):
        templates.save("reminder", argv)
    templates.save("call", ["until-time", "9"])
    assert tab("template use ") == {"call": "a template, version 1", "reminder": "a template, version 2"}
    assert list(tab("template show rem")) == ["reminder"]
    assert list(tab("template save re")) == ["reminder"]
    assert tab("template use reminder --set ") == {"days=": "int", "id=": "str"}
    assert tab("template use nothing --set ") == {}
    file = tmp_path / "config.toml"
    file.write_text('[templates.call]\ncreate = "until-time 10"\n')
    assert tab(f"--config {file} template remove c") == {"call": "a template of the config"}
