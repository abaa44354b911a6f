"""Python functions as handlers: what they get, how they may end, and what a host without them does."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.interleaving import until
from tests.scene import MINUTE, NOON, HandlerModule, Scene
from waitctl import Dead, Retry, Settings, Tick, TickOptions
from waitctl.domain.deliveries import Delivery, RetryPolicy
from waitctl.domain.handlers import HandlerConfig, PythonConfig

MODULE = "handlers_of_a_test"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> HandlerModule:
    """A module whose functions handlers may name."""
    module = HandlerModule(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)
    return module


def call(scene: Scene, function: str = "handle", *, module: str = MODULE, timeout: float = 20) -> None:
    scene.handlers["call"] = HandlerConfig(
        "call",
        PythonConfig(f"{module}:{function}", own_process=False),
        timeout=timedelta(seconds=timeout),
        retry=RetryPolicy(backoff=timedelta(minutes=1)),
    )


def tried(scene: Scene) -> Delivery:
    """The one delivery, after one tick."""
    wait = scene.create(handler="call").wait
    scene.waits.resume_wait(wait.id)
    scene.tick()
    (delivery,) = scene.get(wait).deliveries
    return delivery


def test_what_a_function_gets(scene: Scene, module: HandlerModule) -> None:
    given: list[dict[str, Any]] = []
    module.handle = given.append
    call(scene)
    wait = scene.listen(handler="call", context={"name": "Zoë"})
    scene.record(data={"x": 1})
    assert scene.tick().delivered == 1
    (document,) = given
    assert (document["outcome"], document["event"]["data"], document["attempt"]) == ("event", {"x": 1}, 1)
    assert (document["wait"]["id"], document["wait"]["context"]) == (wait.id, {"name": "Zoë"})


def raising(error: BaseException) -> Callable[[object], None]:
    def handle(_: object) -> None:
        raise error

    return handle


def later(function: Callable[[object], object]) -> Callable[[object], Any]:
    async def handle(document: object) -> object:
        await asyncio.sleep(0)
        return function(document)

    return handle


@pytest.mark.parametrize("form", [lambda function: function, later], ids=["plain", "async"])
@pytest.mark.parametrize(
    ("handle", "status", "attempt", "error"),
    [
        (lambda _: None, "delivered", 1, None),
        (lambda _: False, "delivered", 1, None),
        (raising(ValueError("first\nlast")), "pending", 1, "last"),
        (raising(ValueError()), "pending", 1, "ValueError"),
        (raising(TimeoutError("its own")), "pending", 1, "TimeoutError: its own"),
        (raising(SystemExit(3)), "pending", 1, "SystemExit: 3"),
        (raising(ValueError("a\0b")), "pending", 1, "ValueError: a\ufffdb"),
        (raising(Retry("no power")), "pending", 0, "no power"),
        (raising(Dead("no such contact")), "dead", 1, "no such contact"),
    ],
)
def test_how_a_function_may_end(
    sqlite_scene: Scene,
    module: HandlerModule,
    form: Any,
    handle: Callable[[object], object],
    status: str,
    attempt: int,
    error: str | None,
) -> None:
    module.handle = form(handle)
    call(sqlite_scene)
    delivery = tried(sqlite_scene)
    said = (delivery.last_error or "").partition(" (test_python_handlers.py:")[0] or None
    assert (delivery.status, delivery.attempt, said) == (status, attempt, error)


def test_later_may_say_when(sqlite_scene: Scene, module: HandlerModule) -> None:
    call(sqlite_scene)
    module.handle = raising(Retry(after=90 * MINUTE))
    delivery = tried(sqlite_scene)
    assert delivery.next_attempt_at == NOON + 90 * MINUTE
    module.handle = raising(Retry(after=timedelta(0)))
    assert sqlite_scene.at(90).tick().retried == 1, "once a second at most, not for ever in one tick"
    assert sqlite_scene.deliveries.get_delivery(delivery.id).next_attempt_at == NOON + 90 * MINUTE + timedelta(
        seconds=1
    )


def test_coroutine_is_cancelled_at_its_timeout(sqlite_scene: Scene, module: HandlerModule) -> None:
    ended: list[str] = []

    async def handle(_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    module.handle = handle
    call(sqlite_scene, timeout=0.2)
    assert tried(sqlite_scene).last_error == "timed out after 0.2 s"
    assert ended == ["cancelled"]


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("no_such_module:handle", "cannot import no_such_module:handle: ModuleNotFoundError: No module named"),
        (f"{MODULE}:missing", f"cannot import {MODULE}:missing: AttributeError: module '{MODULE}' has no attribute"),
        (f"{MODULE}:__name__", f"{MODULE}:__name__ is not a function"),
        ("bad_at_import:handle", "cannot import bad_at_import:handle: SystemExit: 1 (bad_at_import.py:1)"),
    ],
)
def test_function_that_cannot_be_imported_holds_the_deliveries(
    sqlite_scene: Scene,
    module: HandlerModule,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reference: str,
    says: str,
) -> None:
    (tmp_path / "bad_at_import.py").write_text("raise SystemExit(1)")
    monkeypatch.syspath_prepend(tmp_path)
    name, _, function = reference.partition(":")
    call(sqlite_scene, function, module=name)
    wait = sqlite_scene.create(handler="call").wait
    sqlite_scene.waits.resume_wait(wait.id)
    tick = Tick(sqlite_scene.database, Settings(sqlite_scene.url, handlers=sqlite_scene.handlers), TickOptions())
    assert (tick.run().held, [each.attempt for each in sqlite_scene.get(wait).deliveries]) == (1, [0])
    assert tick.unready_handlers["call"].startswith(says)


def test_a_generator_is_no_function(sqlite_scene: Scene, module: HandlerModule) -> None:
    """Calling it would do nothing, and count as delivered."""

    def handle(_: object) -> Any:
        yield

    module.handle = handle
    call(sqlite_scene)
    assert tried(sqlite_scene).attempt == 0


def test_lease_is_renewed_while_a_function_runs(
    scene: Scene, module: HandlerModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ticks could otherwise have it at once."""
    monkeypatch.setattr("waitctl.application.deliveries.workers.HandlerWorkers.lease", timedelta(seconds=1))
    scene.on_the_real_clock()

    def lease(document: dict[str, Any]) -> Any:
        return scene.deliveries.get_delivery(document["delivery_id"]).lease_expires_at

    def handle(document: dict[str, Any]) -> None:
        first = lease(document)
        until(lambda: lease(document) > first, "a renewal")

    module.handle = handle
    call(scene)
    assert tried(scene).status == "delivered"


def test_who_lost_the_lease_renews_and_settles_nothing(
    scene: Scene, module: HandlerModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that slept: another tick has the delivery, at its second attempt, and its lease stays as it is."""
    monkeypatch.setattr("waitctl.application.deliveries.workers.HandlerWorkers.lease", timedelta(seconds=1))
    scene.on_the_real_clock()
    theirs = "2100-01-01 00:00:00.000000" + ("" if scene.database.is_sqlite else "+00")

    def handle(_: object) -> None:
        scene.sql(
            "UPDATE workflow_wait_deliveries SET claims = claims + 1, attempt = 2, lease_expires_at = :at", at=theirs
        )
        renewed = time.monotonic() + 1
        until(lambda: time.monotonic() > renewed, "the time of a renewal")

    module.handle = handle
    call(scene)
    delivery = tried(scene)
    assert (delivery.status, delivery.attempt) == ("running", 2)
    assert delivery.lease_expires_at is not None and delivery.lease_expires_at.year == 2100
