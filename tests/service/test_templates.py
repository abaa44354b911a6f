"""Templates in the database: versions, use, and the open waits that follow an edit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.scene import NOON, Scene
from waitctl import Settings, TemplateService, UpdatingService, WaitExecutionStatus
from waitctl.domain.errors import (
    InvalidTemplateError,
    InvalidWaitDurationError,
    TemplateNotFoundError,
    TemplateVersionError,
    WaitAlreadyOpenError,
)
from waitctl.infrastructure.config import TemplateConfig
from waitctl.infrastructure.store import templates as store

DAY = timedelta(days=1)

REMINDER = ["create", "fixed-time", "{days:int}d", "--handler", "nudge", "-c", "{who=ada}"]


class Templates(Scene):
    """A scene with the templates of its database, and those of a config file."""

    config: dict[str, TemplateConfig]

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.config = {}

    @property
    def templates(self) -> TemplateService:
        settings = Settings(self.url, templates=self.config)
        return TemplateService(self.database, actor="test", settings=settings)

    def save(self, *argv: str, name: str = "reminder") -> Any:
        return self.templates.save(name, argv)

    def use(self, name: str = "reminder", execution: str = "e", late_bound: bool = True, **values: Any) -> Any:
        given = {"execution": execution}
        return self.templates.create_wait(name, values, given=given, late_bound=late_bound).wait


@pytest.fixture
def scene(url: str) -> Iterator[Templates]:
    scene = Templates(url)
    yield scene
    scene.database.close()


def reasons(scene: Scene, wait_id: str) -> Sequence[str]:
    return [line.reason for line in scene.waits.get_history(wait_id)]


# -- versions ----------------------------------------------------------------------------------------------------------


def test_saving_again_makes_the_next_version(scene: Templates) -> None:
    first = scene.save(*REMINDER)
    assert (str(first.template.reference), first.created) == ("reminder@1", True)
    assert (first.template.actor, first.template.saved_at) == ("test", NOON)
    again = scene.save(*REMINDER)
    assert (str(again.template.reference), again.created) == ("reminder@1", False)
    scene.save("fixed-time", "1d")
    assert scene.templates.get("reminder").version == 2
    assert scene.templates.get("reminder@1").fields["duration"] == "{days:int}d"
    assert [each.version for each in scene.templates.versions("reminder")] == [2, 1]
    assert [str(each.reference) for each in scene.templates.list_templates()] == ["reminder@2"]


def test_a_version_that_is_named_is_kept_as_it_was(scene: Templates) -> None:
    scene.save(*REMINDER, name="reminder@3")
    assert scene.save(*REMINDER, name="reminder@3").created is False
    for name in ("reminder@3", "reminder@2"):
        with pytest.raises(TemplateVersionError) as caught:
            scene.save("fixed-time", "1d", name=name)
        assert caught.value.hint == "the next one is reminder@4"
    assert scene.save("fixed-time", "1d").template.version == 4


def test_what_is_removed_keeps_its_number(scene: Templates) -> None:
    for days in "123":
        scene.save("fixed-time", f"{days}d")
    assert scene.templates.remove("reminder@3") == [3]
    assert scene.templates.get("reminder").version == 2
    assert scene.save("fixed-time", "3d").template.version == 4
    assert scene.templates.remove("reminder") == [1, 2, 4]
    for name in ("reminder", "reminder@4"):
        with pytest.raises(TemplateNotFoundError):
            scene.templates.get(name)
        with pytest.raises(TemplateNotFoundError):
            scene.templates.remove(name)
    assert scene.save("fixed-time", "3d").template.version == 5


def test_the_nearest_name_is_said(scene: Templates) -> None:
    scene.save(*REMINDER)
    with pytest.raises(TemplateNotFoundError, match="'remindr'") as caught:
        scene.templates.get("remindr")
    assert caught.value.hint == "did you mean reminder?"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fixed-time", "{days:int}"], "reminder cannot create a wait with days=3: '3' is not a duration"),
        (["fixed-time", "fortnight"], "reminder cannot create a wait: 'fortnight' is not a duration"),
        (["until-date", "2026-02-01"], "reminder cannot create a wait: the date has passed"),
        (["for-event", "{type}"], "'example' is not a registered event type"),
        (["fixed-time", "3bd", "--calendar", "atlantis"], "atlantis"),
        (["fixed-time", "1d", "--window", "mon 09:00-08:00", "--max-late", "x"], "--max-late"),
    ],
)
def test_what_can_never_work_is_not_saved(scene: Templates, argv: list[str], message: str) -> None:
    with pytest.raises(InvalidTemplateError) as caught:
        scene.save(*argv)
    assert message in caught.value.message
    assert scene.templates.list_templates() == []


def test_an_example_makes_it_likely(scene: Templates) -> None:
    saved = scene.templates.save("any", ["for-event", "{type}", "--timeout", "1d"], {"type": "sms_reply"}).template
    example = scene.templates.example(saved)
    assert example.result is not None
    assert (example.values, example.fields["types"]) == ({"type": "sms_reply"}, "sms_reply")
    assert example.result.explanation[0].startswith("for-event sms_reply of ada@example.org")
    refused = scene.templates.example(saved, {"type": "nothing"})
    assert refused.error is not None
    assert "not a registered event type" in refused.error.message


# -- the config file ---------------------------------------------------------------------------------------------------


def test_the_config_goes_before_the_database(scene: Templates) -> None:
    scene.save("fixed-time", "2d")
    scene.config = {"reminder": TemplateConfig("reminder", ("fixed-time", "{days:int=1}d"))}
    assert scene.use(late_bound=False).scheduled_at == NOON + DAY
    assert scene.use("reminder@1", "f", late_bound=False).scheduled_at == NOON + 2 * DAY
    assert [(each.name, each.version) for each in scene.templates.list_templates()] == [
        ("reminder", None),
        ("reminder", 1),
    ]
    assert scene.save("fixed-time", "3d").shadowed
    with pytest.raises(InvalidTemplateError, match="no host's edits can move the waits of all"):
        scene.use(execution="g")
    with pytest.raises(TemplateNotFoundError, match="the database has no template reminder@9"):
        scene.templates.get("reminder@9")


def test_what_is_wrong_in_the_config_is_named(scene: Templates) -> None:
    scene.config = {"bad": TemplateConfig("bad", ("sometime",))}
    with pytest.raises(InvalidTemplateError, match=r"templates\.bad: there is no form 'sometime'"):
        scene.templates.get("bad")


# -- use ---------------------------------------------------------------------------------------------------------------


def test_use_creates_what_is_asked_for(scene: Templates) -> None:
    scene.save(*REMINDER)
    wait = scene.use(days=3, late_bound=False)
    assert (wait.scheduled_at, wait.handler, wait.contact_id) == (NOON + 3 * DAY, "nudge", "ada")
    assert wait.workflow_execution_id == "e"
    assert "template" not in wait.wait_config
    with pytest.raises(WaitAlreadyOpenError):
        scene.use(days=4)
    with pytest.raises(InvalidTemplateError, match="needs days"):
        scene.use()
    with pytest.raises(InvalidWaitDurationError):
        scene.use(days=-1, execution="f")


def test_what_is_given_goes_before_the_template(scene: Templates) -> None:
    scene.save(*REMINDER, "--tz", "Europe/Berlin")
    given = {"contact": "bob", "tz": "Asia/Tokyo", "handler": ["timeout=other"], "context": {"a": 1}}
    with pytest.raises(Exception, match="never ends by timeout"):
        scene.templates.create_wait("reminder", {"days": 1}, given=given)
    given |= {"handler": ["other"]}
    wait = scene.templates.create_wait("reminder", {"days": 1}, given=given).wait
    assert (wait.contact_id, wait.timezone, wait.handler, wait.context) == ("bob", "Asia/Tokyo", "other", {"a": 1})


def test_the_same_again_is_the_same_wait(scene: Templates) -> None:
    scene.save(*REMINDER)
    first = scene.use(days=3)
    scene.save(*REMINDER, "--dst", "earlier")
    scene.save(*REMINDER)
    again = scene.templates.create_wait("reminder", {"days": 3}, given={"execution": "e"}, late_bound=True)
    assert (again.wait.id, again.created) == (first.id, False)


def test_a_dry_run_writes_nothing(scene: Templates) -> None:
    scene.save(*REMINDER)
    result = scene.templates.create_wait("reminder", {"days": 3}, late_bound=True, dry_run=True)
    assert result.explanation[0] == "fixed-time 3d: 72h of elapsed time after 2026-03-01 12:00:00 UTC"
    assert scene.sql("SELECT count(*) FROM workflow_wait_executions")[0][0] == 0


# -- late-bound --------------------------------------------------------------------------------------------------------


def test_an_edit_moves_what_is_late_bound(scene: Templates) -> None:
    scene.save(*REMINDER)
    bound, free = scene.use(days=3), scene.use(days=3, execution="f", late_bound=False)
    scene.at(60)
    saved = scene.save("fixed-time", "{days:int}d", "--at", "{at:time=09:00}", "--handler", "call", "-c", "{who=ada}")
    assert (saved.edits.bound, saved.edits.changed, saved.edits.moved, saved.edits.kept) == (1, 1, 1, ())
    now = scene.get(bound)
    assert now.scheduled_at == NOON + 3 * DAY - timedelta(hours=3)
    assert (now.handler, now.wait_config["template"]["version"]) == ("call", 2)
    assert scene.get(free) == free
    assert reasons(scene, bound.id)[1] == (
        "as of 2026-03-01T13:00:00Z: template reminder: version 1 → 2, 2026-03-04T12:00:00Z → 2026-03-04T09:00:00Z"
    )
    explanation = scene.rescheduling.explain_wait(bound.id)[1]
    assert explanation[0] == "fixed-time 3d --at 09:00: 3 calendar days after 2026-03-01 12:00:00 UTC, at 09:00"
    assert explanation[1] == "template reminder@2 days=3, late-bound: it follows what the template says"
    scene.at(3 * 24 * 60 - 180)
    assert scene.tick().resumed == 1


def test_an_edit_changes_nothing_else(scene: Templates) -> None:
    """Neither an instant that was set by hand nor a context that was updated, when the edit is about a handler."""
    scene.save(*REMINDER, "--context", '{"n": 1}')
    wait = scene.use(days=3)
    scene.rescheduling.reschedule_wait(wait.id, by="+2h")
    before = scene.get(wait)
    edits = scene.save(*[*REMINDER[:4], "call"], "--context", '{"n": 1}').edits
    assert (edits.changed, edits.moved) == (1, 0)
    after = scene.get(wait)
    assert (after.scheduled_at, after.handler) == (before.scheduled_at, "call")
    assert after.wait_config["rescheduled"] == before.wait_config["rescheduled"]

    assert scene.save(*[*REMINDER[:4], "call"], "--context", '{"n": "{days:int}"}').edits.changed == 1
    assert scene.get(wait).context == {"n": 3}
    # An edit about time leaves what a person has set, as replan does.
    assert scene.save("fixed-time", "{days:int}d", "--window", "09:00-13:00").edits.moved == 1
    moved = scene.get(wait)
    assert moved.scheduled_at == NOON + 4 * DAY - timedelta(hours=3)
    assert "rescheduled" in moved.wait_config


def test_what_cannot_follow_stays_and_says_why(scene: Templates) -> None:
    scene.save("fixed-time", "{days:int}d")
    soon, late = scene.use(days=3), scene.use(days=30, execution="f")
    scene.at(2 * 24 * 60)
    edits = scene.save("fixed-time", "{days:int}h").edits
    assert (edits.bound, edits.changed) == (2, 0)
    assert {reason for _, reason in edits.kept} == {
        "by the rules of today it was due at 2026-03-01 15:00:00 UTC: it stays as it is",
        "by the rules of today it was due at 2026-03-02 18:00:00 UTC: it stays as it is",
    }
    edits = scene.save("fixed-time", "{days:int}d", "-c", "{who}").edits
    assert {reason for _, reason in edits.kept} == {"the template reminder@3 needs who"}
    edits = scene.save("until-time", "9").edits
    assert {reason for _, reason in edits.kept} == {"it is another type of wait now"}
    # What has stayed behind follows the next version that it can follow.
    edits = scene.save("fixed-time", "{days:int}d", "--handler", "call").edits
    assert (edits.changed, edits.kept) == (2, ())
    assert {scene.get(each).wait_config["template"]["version"] for each in (soon, late)} == {5}


def test_a_date_in_a_context_that_was_updated_counts(scene: Templates) -> None:
    scene.save("until-date", "--field", "due", "--context", '{"due": "2026-04-01"}')
    wait = scene.use()
    UpdatingService(scene.database).update_wait(wait.id, context={"due": "2026-05-01"})
    edits = scene.save("until-date", "--field", "due", "--offset", "-1d", "--context", '{"due": "2026-04-01"}').edits
    assert (edits.moved, edits.kept) == (1, ())
    now = scene.get(wait)
    assert (now.scheduled_at, now.context) == (NOON + 59.5 * DAY, {"due": "2026-05-01"})


def test_an_ended_wait_is_left_alone(scene: Templates) -> None:
    scene.save(*REMINDER)
    wait = scene.use(days=1)
    scene.waits.cancel_wait(wait.id)
    ended = scene.get(wait)
    assert scene.save("fixed-time", "{days:int}h").edits.bound == 0
    assert scene.get(wait) == ended


def test_event_waits_follow_with_deadline_and_window(scene: Templates) -> None:
    listen = ["for-event", "sms_reply", "-c", "ada", "--where", "event.data.n > {n:int}"]
    scene.save(*listen, "--timeout", "2d")
    wait = scene.use(n=3)
    edits = scene.save(*listen, "--timeout", "1d", "--handler", "call").edits
    assert (edits.changed, edits.moved) == (1, 1)
    now = scene.get(wait)
    assert (now.timeout_at, now.handler, now.status) == (NOON + DAY, "call", WaitExecutionStatus.WAITING)
    assert {each.expires_at for each in now.listeners} == {NOON + DAY}
    edits = scene.save(*listen, "--window", "09:00-11:00").edits
    assert (edits.changed, edits.moved, scene.get(wait).timeout_at) == (1, 1, None)
    edits = scene.save("for-event", "email_open", "-c", "ada").edits
    assert [reason for _, reason in edits.kept] == ["it listens to other events now"]
    scene.record("sms_reply", data={"n": 4})
    parked = scene.get(wait)
    assert (parked.status, parked.scheduled_at) == (WaitExecutionStatus.SCHEDULED, NOON + DAY - timedelta(hours=3))


def test_a_contact_s_zone_and_a_base_are_kept(scene: Templates) -> None:
    scene.save("until-time", "{at:time}", "--tz", "Europe/Berlin", "--from", "2026-03-04T12:00:00Z")
    wait = scene.use(at="9")
    scene.save("until-time", "{at:time}", "--tz", "Asia/Tokyo", "--from", "2026-03-04T12:00:00Z")
    now = scene.get(wait)
    assert (now.timezone, now.scheduled_at) == ("Asia/Tokyo", NOON + 3.5 * DAY)


def test_a_version_is_not_late_bound(scene: Templates) -> None:
    scene.save(*REMINDER)
    with pytest.raises(InvalidTemplateError, match="reminder@1 is one version"):
        scene.use("reminder@1", days=1)


def test_edits_are_taken_up_where_they_were_interrupted(scene: Templates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waitctl.application.operations.template_edits._PAGE", 2)
    scene.save("fixed-time", "{days:int}d")
    waits = [scene.use(days=3, execution=f"e{number}") for number in range(5)]
    version = ["fixed-time", "{days:int}d", "--handler", "call"]
    original = store.change_what_they_do
    calls = 0

    def dies(*arguments: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        original(*arguments, **options)

    monkeypatch.setattr(store, "change_what_they_do", dies)
    with pytest.raises(KeyboardInterrupt):
        scene.save(*version)
    assert sum(scene.get(wait).handler == "call" for wait in waits) == 2
    monkeypatch.setattr(store, "change_what_they_do", original)
    saved = scene.save(*version)
    assert (saved.created, saved.edits.bound, saved.edits.changed) == (False, 5, 3)
    assert {scene.get(wait).handler for wait in waits} == {"call"}


def test_what_is_created_while_the_template_is_edited_follows_too(
    scene: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edit does not see a wait that comes after it, and whoever creates that one does not see the edit."""
    scene.save("fixed-time", "{days:int}d")
    service, other = scene.templates, scene.templates
    get, edited = service.get, False

    def edit_behind(name: str) -> Any:
        nonlocal edited
        found = get(name)
        if not edited:
            edited = True
            other.save("reminder", ["fixed-time", "{days:int}d", "--handler", "call"])
        return found

    monkeypatch.setattr(service, "get", edit_behind)
    wait = service.create_wait("reminder", {"days": 1}, late_bound=True).wait
    assert (wait.handler, wait.wait_config["template"]["version"]) == ("call", 2)


def test_what_is_forgotten_says_no_values(scene: Templates) -> None:
    from waitctl import ContactService

    scene.save("fixed-time", "1d", "-c", "{who}")
    wait = scene.use(who="ada")
    ContactService(scene.database).forget_contact("ada")
    assert "ada" not in str(scene.get(wait).wait_config)
