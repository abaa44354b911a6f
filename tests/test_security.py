"""SECURITY.md is what happens: its roles can do what they are for, and nothing else."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.cli.processes import Waitctl

if TYPE_CHECKING:
    from tests.conftest import Cluster

SECURITY = (Path(__file__).parent.parent / "SECURITY.md").read_text(encoding="utf-8")
ROLES = ("waitctl_tick", "waitctl_reader", "waitctl_door")


class Roles:
    """The database of the waits, as one of the roles sees it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url.replace("postgresql+psycopg:", "postgresql:")
        self.suffix = uuid.uuid4().hex[:8]
        self.folder = folder

    def named(self, sql: str) -> str:
        """Roles belong to the whole server: those of this test bear names of their own."""
        return re.sub(rf"\b({'|'.join(ROLES)})\b", rf"\1_{self.suffix}", sql)

    def as_role(self, role: str) -> str:
        """The URL of a session that has become the role, as whoever logs in with it is."""
        return f"{self.url}{'&' if '?' in self.url else '?'}options=-crole%3D{self.named(role)}"

    def waitctl(self, role: str) -> Waitctl:
        return Waitctl(self.folder, self.as_role(role))

    def execute(self, role: str, statement: str) -> None:
        with psycopg.connect(self.as_role(role)) as connection:
            connection.execute(statement.encode())


@pytest.fixture
def roles(postgres_url: str, cluster: Cluster, tmp_path: Path) -> Iterator[Roles]:
    roles = Roles(postgres_url, tmp_path)
    (grants,) = re.findall(r"^```sql\n(.*?)^```$", SECURITY, re.MULTILINE | re.DOTALL)
    with psycopg.connect(roles.url) as connection:
        connection.execute(roles.named(grants).encode())
    yield roles
    with psycopg.connect(roles.url) as connection:
        for role in ROLES:
            connection.execute(roles.named(f"DROP OWNED BY {role}; DROP ROLE {role}").encode())


def test_a_tick_can_do_all_that_scripts_do_but_change_the_schema(roles: Roles) -> None:
    run = roles.waitctl("waitctl_tick")
    (roles.folder / "config.toml").write_text('[handlers.nudge]\nexec = ["true"]\n[handlers.tell]\nnotify = "waits"\n')
    env = {"WAITCTL_CONFIG": "config.toml"}
    run("create", "for-event", "sms_reply", "-c", "ada", "-e", "a", "--handler", "nudge", env=env).ok()
    run("create", "for-event", "sms_reply", "-c", "ada", "-e", "b", "--all", "--handler", "tell", env=env).ok()
    wait = run("create", "fixed-time", "1h", "-e", "c", "--key", "k", "-o", "id", env=env).ok().out.strip()
    assert len(run("event", "record", "sms_reply", "-c", "ada", "-o", "json").ok().json["matched"]) == 2
    run("event", "ingest", stdin='{"type": "sms_reply", "contact": "bob"}\n')
    run("event", "types", "add", "survey_done").ok()
    run("event", "types", "remove", "survey_done").ok()
    run("pause", "--handler", "nudge").ok()
    run("unpause", "--handler", "nudge").ok()
    run("reschedule", wait, "--by", "+1h").ok()
    run("resume", wait).ok()
    assert run("tick", "-o", "json", env=env).ok().json["delivered"] == 2
    run("db", "check").ok()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        roles.execute("waitctl_tick", "UPDATE waitctl_alembic_version SET version_num = '9999'")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        roles.execute("waitctl_tick", "CREATE TABLE mine (id int)")


def test_a_reader_can_look_and_nothing_else(roles: Roles) -> None:
    wait = roles.waitctl("waitctl_tick")("create", "fixed-time", "1h", "-e", "a", "-o", "id").ok().out.strip()
    run = roles.waitctl("waitctl_reader")
    for command in (
        ["list"],
        ["pending"],
        ["status", wait],
        ["history", wait],
        ["event", "list"],
        ["delivery", "list"],
    ):
        run(*command, "-o", "json").ok()
    for command in (
        ["create", "fixed-time", "1h"],
        ["cancel", wait],
        ["event", "record", "sms_reply", "-c", "a"],
        ["tick"],
    ):
        assert "permission denied" in run(*command).error(5)


def test_a_door_can_put_in_an_event_and_nothing_else(roles: Roles) -> None:
    event = "INSERT INTO workflow_events (event_type, contact_id, data, source, external_id, occurred_at) "
    roles.execute("waitctl_door", event + "VALUES ('form_submit', 'ada', '{}', 'crm', 'f-17', NULL)")
    assert roles.waitctl("waitctl_tick")("tick", "-o", "json").ok().json["correlated"] == 1
    for statement in (
        "SELECT * FROM workflow_events",
        "INSERT INTO workflow_events (event_type, contact_id, correlated_at) VALUES ('form_submit', 'ada', now())",
        "INSERT INTO workflow_events (id, event_type, contact_id) VALUES (gen_random_uuid(), 'form_submit', 'ada')",
        "UPDATE workflow_events SET data = '{}'",
        "DELETE FROM workflow_events",
        "SELECT * FROM workflow_wait_executions",
        "INSERT INTO workflow_wait_deliveries DEFAULT VALUES",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            roles.execute("waitctl_door", statement)
