"""Commands that take many deliveries at once: which of them are through, by what the command names and exits with."""

from __future__ import annotations

import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.interleaving import until
from tests.scene import Scene
from waitctl import Settings, Tick, TickOptions
from waitctl.domain.handlers import ExecConfig

IDS = """sed 's/^{"delivery_id":"\\([^"]*\\)".*/\\1/'"""


def handle(scene: Scene, folder: Path, script: str, *, timeout: float = 20) -> Path:
    out = scene.handle(folder, script, timeout=timeout, concurrency=1)
    target = ExecConfig((str(out.with_suffix(".sh")),), batch=True)
    scene.handlers["nudge"] = replace(scene.handlers["nudge"], target=target)
    return out


def due(scene: Scene, number: int) -> None:
    for each in range(number):
        wait = scene.create(execution=f"e{each}", handler="nudge").wait
        scene.waits.resume_wait(wait.id)


def became(scene: Scene) -> Counter[tuple[str, int, str | None]]:
    return Counter((each.status.value, each.attempt, each.last_error) for each in scene.deliveries.list_deliveries())


def test_one_process_gets_them_all(scene: Scene, tmp_path: Path) -> None:
    out = handle(scene, tmp_path, 'echo run >> $OUT.runs; cat > $OUT; env > "$OUT.env"')
    due(scene, 5)
    assert scene.tick().delivered == 5
    payloads = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(payload["delivery_id"] for payload in payloads) == sorted(
        each.id for each in scene.deliveries.list_deliveries()
    )
    assert {payload["wait"]["workflow_execution_id"] for payload in payloads} == {f"e{each}" for each in range(5)}
    assert Path(f"{out}.runs").read_text() == "run\n"
    environment = Path(f"{out}.env").read_text()
    assert "WAITCTL_DATABASE_URL=" in environment and "WAITCTL_DELIVERY_ID" not in environment


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("cat >/dev/null", {("delivered", 1, None): 3}),
        ("cat >/dev/null; echo three done; echo words >&2", {("delivered", 1, None): 3}),
        (f"{IDS} | head -1", {("delivered", 1, None): 2, ("pending", 1, "named as failed"): 1}),
        (f"echo why >&2; {IDS} | sed 's/^/ /; s/$/\\r/'", {("pending", 1, "named as failed: why"): 3}),
        (f"{IDS} | head -1; exit 65", {("delivered", 1, None): 2, ("dead", 1, "exit status 65"): 1}),
        (f"{IDS} | head -2; exit 75", {("delivered", 1, None): 1, ("pending", 0, "exit status 75"): 2}),
        (f"{IDS} | head -2; exit 3", {("delivered", 1, None): 1, ("pending", 1, "exit status 3"): 2}),
        ("echo oops >&2; exit 1", {("pending", 1, "exit status 1: oops"): 3}),
        ("exit 78", {("dead", 1, "exit status 78"): 3}),
        ("exit 75", {("pending", 0, "exit status 75"): 3}),
        (f"{IDS} | head -1; kill -9 $$", {("pending", 1, "ended by signal SIGKILL"): 3}),
        (
            "yes | head -c 3000000",
            {("pending", 1, "it printed more than 1,048,576 bytes, where the ids of failures belong"): 3},
        ),
    ],
)
def test_what_is_named_and_what_it_exits_with(
    sqlite_scene: Scene, tmp_path: Path, script: str, expected: dict[tuple[str, int, str | None], int]
) -> None:
    handle(sqlite_scene, tmp_path, script)
    due(sqlite_scene, 3)
    sqlite_scene.tick()
    assert became(sqlite_scene) == expected


def test_batch_that_times_out_failed_whole(sqlite_scene: Scene, tmp_path: Path) -> None:
    handle(sqlite_scene, tmp_path, f"echo started >&2; {IDS} | head -1; sleep 60", timeout=0.5)
    due(sqlite_scene, 2)
    sqlite_scene.tick()
    assert became(sqlite_scene) == {("pending", 1, "timed out after 0.5 s: started"): 2}


def test_program_that_is_not_there(sqlite_scene: Scene, tmp_path: Path) -> None:
    handle(sqlite_scene, tmp_path, "true").with_suffix(".sh").unlink()
    due(sqlite_scene, 2)
    assert sqlite_scene.tick().retried == 2


def test_batches_are_no_larger_than_the_ticks(sqlite_scene: Scene, tmp_path: Path) -> None:
    """Though more lies ready: the first process goes on when the second one's batch is leased."""
    os.mkfifo(tmp_path / "go")
    go = os.open(tmp_path / "go", os.O_RDWR)
    out = handle(sqlite_scene, tmp_path, f"wc -l >> $OUT; read line < {tmp_path}/go")
    due(sqlite_scene, 7)
    leased = "SELECT count(*) FROM workflow_wait_deliveries WHERE status = 'running'"
    with ThreadPoolExecutor(1) as aside:
        ticking = aside.submit(sqlite_scene.tick, batch_size=2)
        until(lambda: sqlite_scene.sql(leased)[0][0] >= 4, "two batches are leased")
        os.write(go, b"on\n" * 4)
        assert ticking.result().delivered == 7
    os.close(go)
    assert out.read_text().split() == ["2", "2", "2", "1"]


def test_large_batch_to_a_command_that_answers_while_it_reads(sqlite_scene: Scene, tmp_path: Path) -> None:
    """More than pipes hold, both ways at once."""
    handle(sqlite_scene, tmp_path, "cat")
    for each in range(20):
        wait = sqlite_scene.create(execution=f"e{each}", handler="nudge", context={"large": "x" * 40_000}).wait
        sqlite_scene.waits.resume_wait(wait.id)
    assert sqlite_scene.tick().delivered == 20


def test_interrupted_tick_gives_a_whole_batch_back(sqlite_scene: Scene, tmp_path: Path) -> None:
    out = handle(sqlite_scene, tmp_path, "wc -l >> $OUT")
    due(sqlite_scene, 4)
    settings = Settings(sqlite_scene.url, handlers=sqlite_scene.handlers)
    options = TickOptions(batch_size=2, time_budget=timedelta(minutes=1))
    report = Tick(sqlite_scene.database, settings, options, interrupted=out.exists).run()
    assert (report.stopped, report.delivered) == ("interrupted", 2)
    assert became(sqlite_scene) == {("delivered", 1, None): 2, ("pending", 0, None): 2}
    most = {each.status: each.max_attempts for each in sqlite_scene.deliveries.list_deliveries()}
    assert most == {"delivered": 8, "pending": None}, "what was not begun is as if it had not been leased"
