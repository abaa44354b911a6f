"""Each of the doctor's checks finds a fault that is made for real, and says what to do; check says it to Nagios."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.interleaving import until
from tests.scene import MINUTE, NOON, Scene
from tests.service.test_metrics import samples
from waitctl import Database, PauseKind, Rules, Settings, WaitSpec, load_settings
from waitctl.application.deliveries.pausing import PauseService
from waitctl.application.events.webhooks import Webhook, WebhookService
from waitctl.application.operations.checking import Limits, Severity, Status, check, trouble
from waitctl.application.operations.doctor import CHECKS, examine
from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.errors import WaitStepError
from waitctl.domain.handlers import ExecConfig, HandlerConfig
from waitctl.domain.health import Finding, State
from waitctl.infrastructure import migrations
from waitctl.infrastructure.config import SourceConfig
from waitctl.infrastructure.database import host_clock
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.providers import Request
from waitctl.infrastructure.store import ticks


def findings(scene: Scene, settings: Settings | None = None) -> dict[str, Finding]:
    settings = settings or Settings(scene.url, handlers=scene.handlers)
    found = examine(lambda: settings, lambda _: Database(scene.url, as_of=scene.database.as_of, create=False))
    assert tuple(finding.check for finding in found) == CHECKS
    return {finding.check: finding for finding in found}


def states(found: dict[str, Finding]) -> dict[str, str]:
    """Those that are not well."""
    return {name: finding.state.value for name, finding in found.items() if finding.state is not State.OK}


def beat(scene: Scene, at: datetime) -> None:
    """A tick was seen then, which did nothing."""

    def work(connection: Connection) -> None:
        tick_id = ticks.insert_tick(connection, host="web-1", pid=7, started_at=at, as_of=None, handlers=())
        ticks.finish_tick(connection, tick_id, finished_at=at, report={})

    scene.database.write(work)


def plugin(scene: Scene, **limits: Any) -> Status:
    settings = Settings(scene.url, handlers=scene.handlers)
    try:
        return check(settings, scene.database, Limits(**limits))
    except WaitStepError as error:
        return trouble(error)


def test_where_all_is_well(scene: Scene) -> None:
    scene.on_the_real_clock().create("1h")
    scene.tick()
    found = findings(scene)
    assert states(found) == {}
    assert all(finding.remedy is None for finding in found.values())
    status = plugin(scene)
    assert status.severity is Severity.OK
    assert status.line.startswith("WAITCTL OK - 1 open, 0 overdue, the last tick was ")
    assert " | overdue_age=0s;;300;0 tick_age=0s;;180;0 open=1;;;0 overdue=0;;;0 dead=0;0;;0 held=0;;;0" in status.line


def test_no_tick_has_run_yet(scene: Scene) -> None:
    assert states(findings(scene)) == {"last_tick": "warn"}
    scene.create("1h")
    assert states(findings(scene)) == {"last_tick": "fail"}
    assert plugin(scene).line.startswith("WAITCTL CRITICAL - dead: no tick has run yet; 0 overdue | ")


def test_a_tick_that_stopped(scene: Scene) -> None:
    scene.create("1h")
    beat(scene, host_clock() - timedelta(minutes=30))
    found = findings(scene.at(80))
    assert states(found) == {"last_tick": "fail", "overdue": "fail"}
    assert "30 min ago on web-1" in found["last_tick"].detail
    assert "waitctl init --cron" in (found["last_tick"].remedy or "")
    assert plugin(scene).line.startswith("WAITCTL CRITICAL - dead: the last tick was 30 min ago; 1 overdue, the oldest")
    assert plugin(scene, max_tick_age=timedelta(hours=1)).line.startswith("WAITCTL CRITICAL - stalled: 1 overdue")


def test_slow_is_told_from_stalled(scene: Scene) -> None:
    for number in range(3):
        scene.create("1h", f"e{number}")
    beat(scene, host_clock())
    found = findings(scene.at(80))
    assert states(found) == {"overdue": "fail"}
    assert "ticks run and end nothing of it" in found["overdue"].detail
    assert plugin(scene).severity is Severity.CRITICAL

    scene.tick(batch_size=1, max_batches=1)  # it ends one of three
    found = findings(scene.at(81))
    assert states(found) == {"overdue": "warn"}
    assert "fall behind" in found["overdue"].detail
    assert plugin(scene).line.startswith("WAITCTL WARNING - slow: 2 overdue, the oldest for 21 min;")
    assert states(findings(scene.at(90))) == {"overdue": "fail"}, "that was long ago"
    assert plugin(scene.at(64)).severity is Severity.OK, "overdue for no longer than may be"


def test_a_clock_that_was_set_back(sqlite_scene: Scene) -> None:
    scene = sqlite_scene.on_the_real_clock()
    beat(scene, host_clock() + timedelta(hours=2))
    found = findings(scene)
    assert states(found) == {"clock": "fail", "last_tick": "fail"}
    assert "behind the last tick" in found["clock"].detail and "--ignore-clock" in (found["clock"].remedy or "")
    assert "in the future" in found["last_tick"].detail
    assert plugin(scene).line.startswith(
        "WAITCTL CRITICAL - the clock is behind: the last tick was 1 h 59 min in the future"
    )


def test_a_servers_clock_that_was_set_back(postgres_scene: Scene) -> None:
    """There ticks go on; but when they cease, it is not seen until the clock has caught up."""
    scene = postgres_scene.on_the_real_clock()
    beat(scene, host_clock() + timedelta(hours=2))
    assert states(findings(scene)) == {"clock": "fail", "last_tick": "fail"}
    assert plugin(scene).line.startswith("WAITCTL WARNING - the server's clock is behind: the last tick was 1 h 59 min")


def test_a_host_whose_clock_is_not_the_servers(postgres_scene: Scene) -> None:
    scene = postgres_scene.on_the_real_clock()
    scene.tick()

    def off_by(minutes: float) -> State:
        found = examine(
            lambda: Settings(scene.url), lambda _: Database(scene.url), host=lambda: host_clock() + minutes * MINUTE
        )
        return {finding.check: finding.state for finding in found}["clock"]

    assert [off_by(0), off_by(0.5), off_by(-3)] == [State.OK, State.WARN, State.FAIL]


def test_a_lease_that_nobody_takes_up(scene: Scene) -> None:
    scene.handlers["nudge"] = HandlerConfig("nudge", ExecConfig(("true",)))
    scene.waits.resume_wait(scene.create(handler="nudge").wait.id)
    scene.sql("UPDATE workflow_wait_deliveries SET status = 'running', lease_expires_at = next_attempt_at")
    beat(scene, host_clock())
    found = findings(scene.at(6))
    assert states(found) == {"stuck_leases": "fail"}
    assert "1 delivery runs on a lease that is over, the oldest for 6 min" in found["stuck_leases"].detail
    assert states(findings(scene.at(4))) == {}


def test_a_dead_letter(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "exit 65")
    scene.waits.resume_wait(scene.create(handler="nudge").wait.id)
    scene.tick()
    found = findings(scene)
    assert states(found) == {"dead_letters": "fail"}
    assert found["dead_letters"].detail == "dead deliveries: 1 to nudge"
    assert plugin(scene).line.startswith("WAITCTL WARNING - 1 dead delivery | ")
    assert plugin(scene, max_dead=1).severity is Severity.OK


def test_deliveries_that_are_held(scene: Scene, tmp_path: Path) -> None:
    scene.waits.resume_wait(scene.create(handler="nobodys").wait.id)
    beat(scene, host_clock())
    found = findings(scene)
    assert states(found) == {"held": "warn"}
    assert found["held"].detail == "1 delivery is held: to nobodys: this host's config does not know it"
    assert plugin(scene).severity is Severity.OK
    assert plugin(scene, max_held=0).line.startswith("WAITCTL WARNING - 1 held delivery | ")

    scene.handle(tmp_path, "true", "nobodys")
    assert states(findings(scene)) == {}
    PauseService(scene.database, actor="test").pause(PauseKind.HANDLER, "nobodys")
    assert findings(scene)["held"].detail == "1 delivery is held: to nobodys: they are paused"


def test_a_quarantine_that_is_full(scene: Scene) -> None:
    source = SourceConfig("crm", "sendgrid", verify=False, max_quarantined=2)
    settings = Settings(scene.url, sources={"crm": source})
    beat(scene, host_clock())
    for number, state in enumerate(("warn", "fail", "fail")):
        webhook = Webhook(settings, "sendgrid", "crm", verify=False)
        request = Request.of(b"no JSON %d" % number, {}, None)
        WebhookService(scene.database, settings, actor="test").ingest(request, webhook)
        found = findings(scene, settings)
        assert states(found) == {"quarantine": state}
    assert findings(scene, settings)["quarantine"].detail == "2 of 2 of crm: full"
    assert plugin(scene, max_quarantined=1).severity is Severity.WARNING


def test_a_calendar_at_its_end(scene: Scene) -> None:
    scene.create("1h", rules=Rules(calendar="DE-BY"))
    beat(scene, host_clock())
    assert states(findings(scene)) == {}
    last = datetime(2100, 6, 1, tzinfo=UTC)
    scene.sql("UPDATE workflow_wait_executions SET scheduled_at = :at", at=_text(scene, last))
    scene.database.as_of = last
    found = findings(scene)
    assert states(found) == {"calendars": "warn"}
    assert found["calendars"].detail == "they do not know 2101: DE-BY"
    scene.database.as_of = last.replace(year=2101)
    assert findings(scene)["calendars"].state is State.FAIL
    scene.database.as_of = NOON
    with_unknown = "replace(CAST(wait_config AS text), 'DE-BY', 'company')"
    if not scene.database.is_sqlite:
        with_unknown = f"CAST({with_unknown} AS jsonb)"
    scene.sql(f"UPDATE workflow_wait_executions SET wait_config = {with_unknown}")
    assert "does not know: company" in findings(scene)["calendars"].detail


def _text(scene: Scene, at: datetime) -> object:
    return at.strftime("%Y-%m-%d %H:%M:%S.000000") if scene.database.is_sqlite else at


def test_waits_that_older_zone_rules_have_planned(scene: Scene) -> None:
    scene.waits.create_until_time_wait("18:00", WaitSpec("zoned", timezone="Europe/Berlin"))
    beat(scene, host_clock())
    assert states(findings(scene)) == {}
    (row,) = scene.sql("SELECT CAST(wait_config AS text) FROM workflow_wait_executions")
    version = row[0].partition('"tzdata"')[2].split('"')[1]
    older = f"replace(CAST(wait_config AS text), '{version}', '2019a')"
    if not scene.database.is_sqlite:
        older = f"CAST({older} AS jsonb)"
    scene.sql(f"UPDATE workflow_wait_executions SET wait_config = {older}")
    found = findings(scene)
    assert states(found) == {"tzdata": "warn"}
    assert f"planned by 2019a, and {version} is used" in found["tzdata"].detail
    assert "replan" in (found["tzdata"].remedy or "")


def test_a_damaged_page(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    for number in range(200):
        scene.create(execution=f"e{number}", context={"filler": "x" * 200})
    beat(scene, host_clock())
    scene.database.close()
    assert scene.database.path is not None
    with sqlite3.connect(scene.database.path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'workflow_wait_executions'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with scene.database.path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    found = findings(scene)
    assert found["integrity"].state is State.FAIL
    assert "damaged" in found["integrity"].detail and "backup" in (found["integrity"].remedy or "")
    assert found["overdue"].state is State.UNKNOWN
    assert plugin(scene).severity is Severity.CRITICAL


def test_what_is_left_of_waits_that_are_gone(scene: Scene) -> None:
    scene.handlers["nudge"] = HandlerConfig("nudge", ExecConfig(("true",)))
    scene.waits.resume_wait(scene.create(handler="nudge").wait.id)
    scene.listen(execution="ended")
    scene.listen(execution="deaf")
    beat(scene, host_clock())
    scene.sql("DELETE FROM workflow_wait_executions WHERE status = 'resumed'")
    scene.sql(
        "UPDATE workflow_wait_executions SET status = 'cancelled', resolution = 'cancelled', resolved_at = created_at"
        " WHERE workflow_execution_id = 'ended'"
    )
    scene.sql(
        "DELETE FROM workflow_event_listeners WHERE wait_id IN"
        " (SELECT id FROM workflow_wait_executions WHERE workflow_execution_id = 'deaf')"
    )
    found = findings(scene)
    assert states(found) == {"integrity": "warn"}
    assert found["integrity"].detail == (
        "1 delivery without its wait, 1 active listener of a wait that has ended,"
        " 1 wait for an event that listens to nothing"
    )
    counted = samples(scene)
    assert [counted[f"waitctl_orphans{{kind={kind}}}"] for kind in ("deliveries", "listeners", "waits")] == [1, 1, 1]


def test_an_old_schema(scene: Scene) -> None:
    scene.database.write(lambda connection: migrations.downgrade(connection, "0008"))
    scene.database.close()
    found = findings(scene)
    assert found["schema"].state is (State.WARN if scene.database.is_sqlite else State.FAIL)
    assert found["schema"].remedy == "run: waitctl db upgrade"
    assert found["database"].state is State.OK
    assert {found[name].state for name in ("overdue", "last_tick", "bloat", "integrity")} == {State.UNKNOWN}
    if not scene.database.is_sqlite:
        assert plugin(scene).severity is Severity.CRITICAL


def test_a_database_that_is_away(tmp_path: Path) -> None:
    for url, severity in (
        (f"sqlite:///{tmp_path}/none.db", Severity.UNKNOWN),
        ("postgresql://nobody@127.0.0.1:9/none", Severity.CRITICAL),
    ):
        scene = Scene(url)
        scene.database.create = False
        found = findings(scene)
        assert found["database"].state is State.FAIL
        assert {found[name].state for name in ("schema", "overdue", "integrity")} == {State.UNKNOWN}
        assert (found["config"].state, found["tzdata"].state) == (State.OK, State.OK)
        assert plugin(scene).severity is severity


@pytest.mark.parametrize(("mode", "state"), [(0o1777, "warn"), (0o777, "warn"), (0o700, "ok"), (0o755, "ok")])
def test_a_folder_where_others_may_make_files(tmp_path: Path, mode: int, state: str) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    url = f"sqlite:///{folder}/waits.db"
    with Database(url) as database:
        database.upgrade()
    found = {each.check: each for each in examine(lambda: Settings(url), lambda _: Database(url))}["database"]
    assert (found.state, str(folder) in found.detail) == (state, True)
    assert ("others may make files" in found.detail) == (state == "warn")


def test_a_url_that_cannot_be_read() -> None:
    found = {each.check: each for each in examine(lambda: Settings("mysql://x"), lambda _: Database("mysql://x"))}
    assert (found["config"].state, found["database"].state) == (State.OK, State.FAIL)
    assert found["overdue"].state is State.UNKNOWN


def test_a_config_that_others_may_write(tmp_path: Path, migrated_sqlite_url: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[handlers.nudge]\nexec = ["/bin/true"]\n')
    config.chmod(0o666)

    def load() -> Settings:
        return load_settings(config=str(config), database_url=migrated_sqlite_url)

    found = {each.check: each for each in examine(load, lambda settings: Database(settings.database_url))}
    assert found["config"].state is State.FAIL
    assert found["config"].remedy == f"chmod o-w {config}"
    assert found["database"].state is State.UNKNOWN
    config.chmod(0o600)
    found = {each.check: each for each in examine(load, lambda settings: Database(settings.database_url))}
    assert (found["config"].state, found["config"].detail) == (State.OK, str(config))


def test_a_handler_that_cannot_be_run(scene: Scene) -> None:
    beat(scene, host_clock())
    scene.handlers["nudge"] = HandlerConfig("nudge", ExecConfig(("/nowhere/nudge.sh",)))
    found = findings(scene)
    assert states(found) == {"config": "warn"}
    assert found["config"].detail == "handlers that cannot be used: nudge: /nowhere/nudge.sh cannot be run"


def test_an_inline_key_that_others_may_read(scene: Scene, tmp_path: Path) -> None:
    key = tmp_path / "inline.key"
    key.write_text("k" * 64)
    key.chmod(0o644)
    beat(scene, host_clock())
    settings = Settings(scene.url, allow_inline_commands=True, inline_key_file=key)
    found = findings(scene, settings)
    assert states(found) == {"inline_key": "warn"}
    assert f"others may read {key}" in found["inline_key"].detail
    scene.create()
    scene.sql(
        "INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt, next_attempt_at,"
        " created_at) SELECT id, id, '--', 'due', 'pending', 0, created_at, created_at FROM workflow_wait_executions"
    )
    found = findings(scene, settings)
    assert states(found) == {"inline_key": "fail", "held": "warn"}
    key.chmod(0o600)
    assert findings(scene, settings)["inline_key"].state is State.OK


def bloat_sqlite(scene: Scene) -> None:
    scene.sql("CREATE TABLE filler (page BLOB)")
    many = (
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 11000) SELECT zeroblob(4000) FROM c"
    )
    scene.sql(f"INSERT INTO filler {many}")
    scene.sql("DROP TABLE filler")


def bloat_postgresql(scene: Scene) -> None:
    scene.sql("ALTER TABLE workflow_event_types SET (autovacuum_enabled = off)")
    scene.sql(
        "INSERT INTO workflow_event_types (name, builtin) SELECT 'type.' || n, false FROM generate_series(1, 11000) AS s(n)"
    )
    scene.sql("DELETE FROM workflow_event_types WHERE NOT builtin")
    scene.database.close()  # the server counts what a session has done when it ends


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_bloat(kind: str, request: pytest.FixtureRequest) -> None:
    scene: Scene = request.getfixturevalue("sqlite_scene" if kind == "sqlite" else "postgres_scene")
    make: Callable[[Scene], None] = bloat_sqlite if kind == "sqlite" else bloat_postgresql
    beat(scene, host_clock())
    assert states(findings(scene)) == {}
    make(scene)
    found: dict[str, Finding] = until(lambda: now if states(now := findings(scene)) else None, "a finding")
    assert states(found) == {"bloat": "warn"}
    assert "VACUUM" in (found["bloat"].remedy or "")


def test_retries_are_no_fault(scene: Scene, tmp_path: Path) -> None:
    scene.handle(tmp_path, "exit 1", max_attempts=RetryPolicy().max_attempts)
    scene.waits.resume_wait(scene.create(handler="nudge").wait.id)
    scene.tick()
    assert states(findings(scene)) == {}
