"""Moving a database: out, in, out again, whichever kind each is of."""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.conftest import Cluster
from tests.invariants import invariants
from tests.moving import exported, fill, imported
from tests.scene import MINUTE, NOON, Scene
from tests.test_machine import Machine
from waitctl import Database, InlineCommand, Settings, Tick, TickReport, WaitSchedulingService, WaitSpec
from waitctl.application.inline_commands import InlineCommands
from waitctl.application.operations import moving
from waitctl.application.operations.moving import Import, Imported, read_export_lines
from waitctl.domain.errors import InvalidExportError
from waitctl.domain.exports import Footer, read_exactly
from waitctl.domain.filters import WaitFilter
from waitctl.domain.statuses import WaitExecutionStatus
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.inline_key import make_key
from waitctl.infrastructure.schema import metadata
from waitctl.infrastructure.schema_version import HEAD
from waitctl.infrastructure.store import moving as store
from waitctl.infrastructure.store.statements.moving import LEFT, MOVED

NewUrl = Callable[[str], str]


@pytest.fixture
def new_url(cluster_and_template: tuple[Cluster, str], tmp_path: Path) -> Iterator[NewUrl]:
    """Makes an empty database of the kind that it is told."""
    cluster, template = cluster_and_template
    made: list[str] = []

    def make(kind: str) -> str:
        name = f"waitctl_{uuid.uuid4().hex}"
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / name}.db"
        made.append(name)
        return cluster.create(name, template)

    yield make
    for name in made:
        cluster.drop(name)


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table is read and written in several steps."""
    monkeypatch.setattr(store, "AT_ONCE", 3)


@pytest.fixture
def filled(scene: Scene, tmp_path: Path) -> Scene:
    return fill(scene, tmp_path)


def test_every_table_moves_or_is_left_on_purpose() -> None:
    moved = [each.table.name for each in MOVED]
    assert sorted([*moved, *LEFT]) == sorted(metadata.tables)
    assert not set(moved) & set(LEFT)
    before: set[str] = set()
    for each in MOVED:
        assert {key.column.table.name for key in each.table.foreign_keys} <= before
        before.add(each.table.name)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_out_and_in_and_out_again_is_the_same(filled: Scene, new_url: NewUrl, kind: str) -> None:
    """There and back again, with something in every table."""
    before = exported(filled.url)
    counts = read_exactly(before.splitlines()[-1].decode())["counts"]
    assert [name for name, count in counts.items() if not count] == []
    there = new_url(kind)
    done = imported(there, before)
    assert (done.to_json()["matches"], done.counts) == (True, counts)
    assert exported(there) == before
    back = new_url("sqlite" if filled.database.is_sqlite else "postgresql")
    imported(back, exported(there))
    assert exported(back) == before
    for url in (there, back):
        moved = Scene(url)
        moved.database.write(invariants)
        moved.database.close()


def rows(content: bytes, table: str) -> list[JsonObject]:
    lines = [read_exactly(line.decode()) for line in content.splitlines()]
    return [line["row"] for line in lines if line.get("table") == table]


def test_a_filter_moves_what_belongs_together(filled: Scene, new_url: NewUrl) -> None:
    part = exported(filled.url, WaitFilter(workflow_id="billing"))
    assert {row["workflow_execution_id"] for row in rows(part, "waits")} == {"to nudge", "to fails", "to nobody"}
    ids = {row["id"] for row in rows(part, "waits")}
    for table in ("transitions", "deliveries"):
        assert {row["wait_id"] for row in rows(part, table)} == ids
    assert len(rows(part, "outputs")) == 1
    assert [rows(part, table) for table in ("tombstones", "rollups", "upkeep", "quarantine", "contacts")] == [[]] * 5
    there = new_url("sqlite")
    imported(there, part)
    assert {row["until_at"] for row in rows(exported(there), "upkeep")} == {"1970-01-01T00:00:00.000000Z"}

    of_ada = exported(filled.url, WaitFilter(contact_id="ada", statuses=(WaitExecutionStatus.WAITING,)))
    (recurrence,) = rows(of_ada, "recurrences")
    held = {row["id"] for row in rows(of_ada, "waits")}
    assert {recurrence["wait_id"], recurrence["stop_wait_id"]} <= held  # the one is scheduled, and goes along
    named = {row["event_id"] for row in rows(of_ada, "listener_matches")}
    assert named <= {row["id"] for row in rows(of_ada, "events")}
    assert [row["contact_id"] for row in rows(of_ada, "contacts")] == ["ada"]
    imported(new_url("sqlite"), of_ada)


def again_signed(lines: list[bytes]) -> bytes:
    """The lines with a last one that fits those before it."""
    footer = Footer.read(read_exactly(lines[-1].decode()))
    assert footer is not None
    whole = b"".join(lines[:-1])
    return whole + replace(footer, sha256=sha256(whole).hexdigest()).line().encode()


def test_columns_that_have_come_since_have_their_defaults(
    scene: Scene, new_url: NewUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file outlives the migrations that only add, and no other."""
    scene.listen()
    before = exported(scene.url)
    fewer = re.sub(rb'"(gated|human)":false,|"(group_no|needed)":[01],', b"", before)
    older = fewer.replace(f'"schema":"{HEAD}"'.encode(), b'"schema":"0002"')
    there = new_url("sqlite" if scene.database.is_sqlite else "postgresql")
    with pytest.raises(InvalidExportError, match="reads those from"):
        imported(there, older)
    monkeypatch.setattr(moving, "OLDEST", "0002")
    imported(there, again_signed(older.splitlines(keepends=True)))
    assert exported(there) == before


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.one_way(reason="a run that is rolled back uses up a number, too")
def test_audit_trails_are_numbered_on(scene: Scene, new_url: NewUrl, kind: str) -> None:
    """Behind the largest number, however many have gone since."""
    wait = scene.create().wait
    line = re.compile(rb'"id":[0-9]+,"at"')
    lines = [line.sub(b'"id":700000,"at"', each) for each in exported(scene.url).splitlines(keepends=True)]
    moved = Scene(new_url(kind))
    imported(moved.url, again_signed(lines))
    moved.waits.cancel_wait(wait.id)
    assert [row["id"] for row in rows(exported(moved.url), "transitions")] == [700000, 700001]
    moved.database.close()


def test_what_is_due_must_be_what_was_due(scene: Scene, new_url: NewUrl) -> None:
    scene.create()
    lines = exported(scene.url).splitlines(keepends=True)
    lines = [line.replace(b'"scheduled_at":"2026', b'"scheduled_at":"2027') for line in lines]
    there = new_url("sqlite")
    with pytest.raises(InvalidExportError, match="what is due next"):
        imported(there, again_signed(lines))
    assert rows(exported(there), "waits") == []


def test_a_moved_database_goes_on(filled: Scene, new_url: NewUrl, tmp_path: Path) -> None:
    """Its recurrence comes again, its keys and ids are known, its audit trails are numbered on."""
    moved = Scene(new_url("postgresql" if filled.database.is_sqlite else "sqlite"))
    imported(moved.url, exported(filled.url))
    filled.handle(tmp_path, "echo again")
    for scene in (filled, moved):
        scene.handlers = filled.handlers
        scene.at(24 * 60 + 3).tick()
        assert scene.record(external_id="e1", source="crm").duplicate
        assert not scene.create("200d", "sleeps", idempotency_key="k2", contact_id="eve").created
    there, here = (
        [(row["workflow_execution_id"], row["status"]) for row in rows(exported(scene.url), "waits")]
        for scene in (moved, filled)
    )
    assert sorted(there) == sorted(here)
    moved.database.write(invariants)
    moved.database.close()


class MovingMachine(Machine):
    """The rule machine, whose database moves house now and then."""

    new_url: ClassVar[NewUrl]

    @rule(kind=st.sampled_from(["sqlite", "postgresql"]))
    def move(self, kind: str) -> None:
        before = exported(self.scene.url)
        there = type(self).new_url(kind)
        imported(there, before)
        assert exported(there) == before
        self.scene.database.close()
        type(self).scene = Scene(there).at(self.now)


def test_any_sequence_goes_on_wherever_it_moves(scene: Scene, new_url: NewUrl) -> None:
    machine: Any = type("MovingMachineHere", (MovingMachine,), {"scene": scene, "new_url": staticmethod(new_url)})
    few = settings(max_examples=4, stateful_step_count=25, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=few)
    machine.scene.database.close()


def test_a_command_runs_where_its_user_has_signed_it(sqlite_scene: Scene, new_url: NewUrl, tmp_path: Path) -> None:
    """Somebody else's is held, until somebody takes it over."""
    scene = sqlite_scene
    tmp_path.chmod(0o700)
    scene.database.upgrade()
    make_key(tmp_path / "ours.key")
    settings_ = Settings(scene.url, inline_key_file=tmp_path / "ours.key")
    command = InlineCommand(("true",), str(tmp_path))
    service = WaitSchedulingService(scene.database, actor="test", settings=settings_)
    service.create_fixed_time_wait("1m", WaitSpec("e", command=command))
    content = exported(scene.url)

    def come_in(key: str, *, sign: bool = False) -> tuple[Imported, TickReport]:
        url = new_url("sqlite")
        theirs = Settings(url, inline_key_file=tmp_path / key)
        with Database(url, as_of=NOON + 2 * MINUTE) as database:
            database.upgrade()
            importing = Import(database, InlineCommands(theirs, database), sign=sign)
            done = importing.read(read_export_lines(io.BytesIO(content)))
            return done, Tick(database, theirs).run()

    make_key(tmp_path / "theirs.key")
    for key, sign, signed, held in (("ours.key", False, 1, 0), ("theirs.key", False, 0, 1), ("theirs.key", True, 1, 0)):
        done, report = come_in(key, sign=sign)
        assert (done.signed, done.held, report.delivered, report.held) == (signed, held, signed, held), key
