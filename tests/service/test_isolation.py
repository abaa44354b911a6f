"""Deliveries do not stand in each other's way, and hosts agree on who has which."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.interleaving import at_once
from tests.scene import NOON, HandlerModule, Scene
from waitctl import Database, Settings, Tick, TickOptions
from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.handlers import HandlerConfig, PythonConfig, WebhookConfig
from waitctl.infrastructure.database import host_clock

MODULE = "handlers_in_isolation"
MANY = 10_000
BATCH = 1000


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> HandlerModule:
    module = HandlerModule(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)
    return module


@pytest.fixture
def dead_host() -> Iterator[str]:
    """The URL of a port where nobody listens, and nobody else can begin to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/"


def backlog(scene: Scene, handler: str) -> None:
    """Many deliveries that are due since long, each of a wait of its own."""
    scene.waits.resume_wait(scene.create(execution="many", handler=handler).wait.id)
    if scene.database.is_sqlite:
        made = "printf('01900000-0000-7000-8000-%012x', n)"
        numbers = (
            f"(WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < {MANY}) SELECT n FROM n) AS n"
        )
    else:
        made = "('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
        numbers = f"generate_series(2, {MANY}) AS n"
    settled = "status, timezone, wait_config, handler, created_at, updated_at, resolved_at, resolution"
    sent = "handler, outcome, status, attempt, next_attempt_at, created_at"
    scene.sql(
        f"INSERT INTO workflow_wait_executions (id, workflow_execution_id, step_id, wait_type, {settled}) "
        f"SELECT {made}, workflow_execution_id, step_id, wait_type, {settled} FROM workflow_wait_executions, {numbers}"
    )
    scene.sql(
        f"INSERT INTO workflow_wait_deliveries (id, wait_id, {sent}) "
        f"SELECT {made}, {made}, {sent} FROM workflow_wait_deliveries, {numbers}"
    )


def test_a_dead_host_delays_a_live_one_by_a_batch_at_most(scene: Scene, module: HandlerModule, dead_host: str) -> None:
    scene.handlers["dead"] = HandlerConfig("dead", WebhookConfig(dead_host), retry=RetryPolicy(max_attempts=50))
    scene.handlers["live"] = HandlerConfig("live", PythonConfig(f"{MODULE}:live", own_process=False))
    tried: list[int] = []
    module.live = lambda _: tried.append(
        scene.sql("SELECT count(*) FROM workflow_wait_deliveries WHERE last_error IS NOT NULL")[0][0]
    )
    backlog(scene, "dead")
    scene.waits.resume_wait(scene.create(execution="one", handler="live").wait.id)
    assert len(scene.sql("SELECT id FROM workflow_wait_deliveries")) == MANY + 1
    settings = Settings(scene.url, handlers=scene.handlers)
    Tick(scene.database, settings, TickOptions(batch_size=BATCH), interrupted=lambda: bool(tried)).run()
    (before,) = tried
    assert before <= BATCH


def test_each_failure_moves_its_own_row_back(scene: Scene, dead_host: str) -> None:
    policy = RetryPolicy(backoff=timedelta(minutes=5), max_backoff=timedelta(minutes=5))
    scene.handlers["dead"] = HandlerConfig("dead", WebhookConfig(dead_host), retry=policy)
    for number in range(20):
        scene.waits.resume_wait(scene.create(execution=f"e{number}", handler="dead").wait.id)
    assert scene.tick().retried == 20
    turns = [each.next_attempt_at for each in scene.deliveries.list_deliveries()]
    assert all(NOON < at <= NOON + timedelta(minutes=5) for at in turns)
    assert len(set(turns)) == 20, "full jitter: they do not come back together"


@pytest.mark.parametrize("fails", [False, True])
def test_a_zombie_changes_nothing_and_is_counted(scene: Scene, module: HandlerModule, fails: bool) -> None:
    """Its lease ran out while it ran, and another tick has delivered meanwhile."""

    def slow(_: Any) -> None:
        scene.handlers["slow"] = HandlerConfig("slow", PythonConfig(f"{MODULE}:quick", own_process=False))
        with Database(scene.url, as_of=NOON + timedelta(hours=10)) as database:
            other = Tick(database, Settings(scene.url, handlers=scene.handlers)).run()
        reports.append(other.delivered)
        if fails:
            raise ValueError("too late")

    reports: list[int] = []
    module.slow, module.quick = slow, lambda _: None
    scene.handlers["slow"] = HandlerConfig("slow", PythonConfig(f"{MODULE}:slow", own_process=False))
    wait = scene.create(handler="slow").wait
    scene.waits.resume_wait(wait.id)
    report = scene.tick()
    assert reports == [1]
    assert (report.stale, report.retried, report.delivered) == (1, 0, 0)
    (delivery,) = scene.get(wait).deliveries
    assert (delivery.status, delivery.attempt, delivery.last_error) == ("delivered", 2, None)


@pytest.mark.parametrize("max_attempts", [1, 8])
def test_what_is_leased_ahead_has_used_up_no_attempt(scene: Scene, module: HandlerModule, max_attempts: int) -> None:
    """Whatever becomes of the tick that has it."""
    leased: list[tuple[int, int]] = []
    module.nudge = lambda _: leased.append(
        scene.sql("SELECT count(*), sum(attempt) FROM workflow_wait_deliveries WHERE status = 'running'")[0]
    )
    policy = RetryPolicy(max_attempts=max_attempts)
    scene.handlers["nudge"] = HandlerConfig(
        "nudge", PythonConfig(f"{MODULE}:nudge", own_process=False), concurrency=1, retry=policy
    )
    for number in range(4):
        scene.waits.resume_wait(scene.create(execution=f"e{number}", handler="nudge").wait.id)
    assert scene.tick().delivered == 4
    assert tuple(leased[0]) == (4, 0 if max_attempts == 1 else 1)  # a single one is counted when it is through


@pytest.mark.parametrize("wrong_by", [timedelta(hours=1), -timedelta(hours=1)], ids=["ahead", "behind"])
def test_a_host_whose_clock_is_wrong(
    postgres_scene: Scene, module: HandlerModule, monkeypatch: pytest.MonkeyPatch, wrong_by: timedelta
) -> None:
    """PostgreSQL's clock is the only one: nothing fires early, and nobody takes a lease that has not run out."""
    real = host_clock
    monkeypatch.setattr("waitctl.infrastructure.database.host_clock", lambda: real() + wrong_by)
    scene = postgres_scene.on_the_real_clock()
    calls: list[str] = []
    module.nudge = lambda document: calls.append(document["delivery_id"])
    scene.handlers["nudge"] = HandlerConfig("nudge", PythonConfig(f"{MODULE}:nudge", own_process=False))
    soon = scene.create("30m", execution="soon", handler="nudge").wait
    past = scene.create(execution="past", handler="nudge", base=NOON).wait
    leased = scene.create(execution="leased", handler="nudge").wait
    scene.waits.resume_wait(leased.id)
    scene.sql(
        "UPDATE workflow_wait_deliveries SET status = 'running', attempt = 1, "
        "lease_expires_at = clock_timestamp() + interval '30 minutes'"
    )

    def tick() -> int:
        with Database(scene.url) as database:
            return Tick(database, Settings(scene.url, handlers=scene.handlers)).run().delivered

    assert sum(at_once(tick, tick)) == 1
    assert len(calls) == 1
    assert scene.statuses(soon, past, leased) == "scheduled resumed resumed"
    assert [each.status for each in scene.get(leased).deliveries] == ["running"]
