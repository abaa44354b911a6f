"""Moving a database as the commands do it, and one that has something in every table that moves."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.scene import NOON, Scene
from waitctl import Database, Settings, WaitSpec
from waitctl.application.contacts import ContactInput, ContactService
from waitctl.application.deliveries.pausing import PauseService
from waitctl.application.inline_commands import InlineCommands
from waitctl.application.operations.moving import Export, Import, Imported, read_export_lines
from waitctl.application.operations.templates import TemplateService
from waitctl.application.retention import Upkeep
from waitctl.application.waits.recurring import RecurrenceService
from waitctl.domain.durations import parse_duration
from waitctl.domain.filters import EVERY_WAIT, WaitFilter
from waitctl.domain.pauses import PauseKind
from waitctl.domain.recurrence import RecurrenceRule
from waitctl.infrastructure import schema
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.store import tokens

HALF_A_YEAR = 183 * 24 * 60
"""In minutes."""


def exported(url: str, wanted: WaitFilter = EVERY_WAIT) -> bytes:
    """What `waitctl export` writes."""
    file = io.BytesIO()
    with Database(url, create=False) as database:
        Export(database, wanted).write(file)
    return file.getvalue()


def imported(url: str, content: bytes, *, sign: bool = False, dry_run: bool = False) -> Imported:
    """What `waitctl import` does."""
    with Database(url) as database:
        moving = Import(database, InlineCommands(Settings(url), database), sign=sign)
        return moving.read(read_export_lines(io.BytesIO(content)), dry_run=dry_run)


def fill(scene: Scene, folder: Path) -> Scene:
    """A scene with rows in every table that moves, and in every state."""
    scene.at(-HALF_A_YEAR).create("1m", "pruned", workflow_id="billing", idempotency_key="k", contact_id="ada")
    scene.at(2 - HALF_A_YEAR).tick()
    scene.at(0)
    _waits(scene, folder)
    _recurrences(scene)
    _rest(scene)
    return scene


def _waits(scene: Scene, folder: Path) -> None:
    scene.handle(folder, "echo done; printf '\\002\\t\\\\n'", "nudge")
    scene.handle(folder, "exit 65", "fails")
    for name in ("nudge", "fails", "nobody"):
        scene.create("1m", f"to {name}", handler=name, workflow_id="billing", context={"n": 1.50, "é": [1e30, -0.0]})
    scene.create("200d", "sleeps", idempotency_key="k2", contact_id="eve")
    scene.listen("email_open", "sms_reply", execution="one of two", match={"n": "3"})
    scene.listen("email_open", execution="three", count=3, distinct="n", timeout="5d")
    scene.listen("form_submit", execution="out of time", timeout="1m", handler="nudge")
    scene.listen("page_visit", execution="listens", timeout=None, contact="eve")
    scene.waits.cancel_wait(scene.create(execution="cancelled").wait.id, reason="ein \u202eGrund\u0085")
    scene.record(external_id="e1", source="crm", data={"n": 3, "deep": {"b": 1, "a": [None, True, 0.1]}})
    scene.record("page_visit", "zoe", external_id="e2", source="crm", occurred_at=NOON)
    scene.at(2).tick()
    ended = scene.create("1m", "dropped", handler="nobody").wait
    scene.waits.resume_wait(ended.id, data={"by": "hand"})
    scene.deliveries.drop(scene.get(ended).deliveries[0].id)
    Upkeep(scene.database, older_than=timedelta(days=90)).run()
    running = scene.waits.resume_wait(scene.create("1m", "running", handler="nobody").wait.id)
    scene.sql(
        "UPDATE workflow_wait_deliveries SET status = 'running', attempt = 1, claims = 1,"
        f" lease_expires_at = next_attempt_at WHERE wait_id = '{running.wait.id}'"
    )


def _recurrences(scene: Scene) -> None:
    service = RecurrenceService(scene.database, actor="test")
    for name in ("goes on", "pauses", "stops"):
        rule = RecurrenceRule(every=parse_duration("1d"))
        service.create(rule, WaitSpec(name, contact_id="ada"), stop_on="form_submit" if name == "goes on" else None)
    by_name = {each.workflow_execution_id: each.id for each in service.list_recurrences()}
    service.pause(by_name["pauses"], reason="for now")
    service.stop(by_name["stops"])


def _rest(scene: Scene) -> None:
    TemplateService(scene.database).save("reminder", {"type": "fixed-time", "duration": "1d"})
    ContactService(scene.database).set_contact(ContactInput("ada", "Europe/Berlin", {"name": "Ada"}))
    PauseService(scene.database).pause(PauseKind.HANDLER, "mail", reason="down")
    scene.events.add_type("welcome")
    scene.insert_event(
        data='{"z": 1.50, "a": 1e2, "m": "\\u20ac"}', external_id="i1", occurred_at="2026-03-01T12:00:00Z"
    )
    refused: dict[str, Any] = {
        "id": new_id(),
        "source": "shop",
        "format": "mailgun",
        "code": "invalid",
        "message": "no",
        "url": None,
    }
    refused |= {"headers": {"X": "1"}, "body": b"\x00\xff\\", "size": 3, "verified": False, "received_at": NOON}

    def work(connection: Connection) -> None:
        connection.execute(sa.insert(schema.quarantine), refused)
        tokens.remember_token(connection, "shop", "t", "c", now=NOON)

    scene.database.write(work)
