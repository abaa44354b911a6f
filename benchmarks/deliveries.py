"""Deliveries a second, on PostgreSQL, and how soon a resident tick hands one out."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import quantiles

from sqlalchemy.engine import make_url

from benchmarks.due_postgresql import RESET
from benchmarks.measure import Comparison, Setting, alternate, run, say, seconds
from benchmarks.rows import Kind, insert_postgresql
from waitctl import Database, Settings, Tick, TickOptions
from waitctl.application.processor.run import Phase
from waitctl.domain.handlers import ExecConfig, HandlerConfig, PythonConfig, Target, WebhookConfig

ROOT = Path(__file__).parent.parent
CONCURRENCY = 8
HOUR = timedelta(hours=1)
NOTHING = "/bin/true"
HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "waitctl",
    "webhook-id": "01a20000-0000-7000-8000-000000000000",
    "webhook-timestamp": "1790000000",
}
"""What a webhook without a secret sends, for the bare client to send, too."""


class Outbox:
    """One database with the same due waits again and again, each with a delivery to ``nudge``."""

    def __init__(self, setting: Setting, url: str, waits: int) -> None:
        self._psql = setting.cluster.psql
        self._name = url.rpartition("/")[2].partition("?")[0]
        self.url = url
        self.waits = waits
        tables = "CREATE TABLE prepared (LIKE workflow_wait_executions);"
        self._psql(self._name, tables + insert_postgresql(Kind.DUE, waits, "prepared"))

    def end_to_end(self, target: Target, concurrency: int = CONCURRENCY) -> float:
        """Deliveries a second, from a due wait to a settled delivery."""
        self._reset()
        return self._rate(HandlerConfig("nudge", target, concurrency=concurrency), frozenset(Phase))

    def delivering(self, target: Target) -> float:
        """Deliveries a second, from a pending one to a settled one."""
        self._reset()
        self._tick(None, frozenset({Phase.DUE}))
        return self._rate(HandlerConfig("nudge", target, concurrency=CONCURRENCY), frozenset({Phase.DELIVER}))

    def _reset(self) -> None:
        self._psql(self._name, RESET.format(schema="public"))

    def _rate(self, handler: HandlerConfig, phases: frozenset[Phase]) -> float:
        rate = self.waits / seconds(lambda: self._tick(handler, phases))
        done = self._psql(self._name, "SELECT count(*) FROM workflow_wait_deliveries WHERE status = 'delivered'")
        if int(done) != self.waits:
            raise SystemExit(f"of {self.waits} deliveries, {int(done)} are delivered")
        return rate

    def _tick(self, handler: HandlerConfig | None, phases: frozenset[Phase]) -> None:
        handlers = {handler.name: handler} if handler else {}
        with Database(self.url) as database:
            Tick(database, Settings(self.url, handlers=handlers), TickOptions(only=phases, time_budget=HOUR)).run()


@contextmanager
def _outbox(setting: Setting, name: str, waits: int) -> Iterator[Outbox]:
    with setting.cluster.migrated(name) as url:
        yield Outbox(setting, url, waits // 10 if setting.quick else waits)


def python(setting: Setting) -> list[Comparison]:
    """A ``python`` handler that does nothing, end to end, against the fastest Python peer's drain of no-op jobs."""
    with _outbox(setting, "python", 100_000) as outbox:
        peer_url = make_url(outbox.url).set(drivername="postgresql").render_as_string(hide_password=False)
        peer = [sys.executable, "-m", "benchmarks.reference_pgqueuer", peer_url, str(outbox.waits)]
        pairs = alternate(
            "deliver-python",
            lambda: outbox.end_to_end(PythonConfig("benchmarks.handlers:nothing")),
            lambda: float(run(peer)),
            pairs=2 if setting.quick else 6,
        )
    return [Comparison("deliver-python: due to settled / pgqueuer's drain", "deliveries/s", *pairs, at_least=1.0)]


def batch(setting: Setting) -> list[Comparison]:
    """``exec`` with ``batch``, against the ``python`` handler."""
    with _outbox(setting, "batch", 50_000) as outbox:
        pairs = alternate(
            "deliver-batch",
            lambda: outbox.end_to_end(ExecConfig(("/bin/sh", "-c", "cat > /dev/null"), batch=True), concurrency=1),
            lambda: outbox.end_to_end(PythonConfig("benchmarks.handlers:nothing")),
            pairs=2 if setting.quick else 6,
        )
    return [Comparison("deliver-batch: exec batch / python", "deliveries/s", *pairs, at_least=0.8)]


def command(setting: Setting) -> list[Comparison]:
    """``exec`` of a program that does nothing, against a bare loop of posix_spawn."""
    with _outbox(setting, "exec", 4_000) as outbox:
        pairs = alternate(
            "deliver-exec",
            lambda: outbox.delivering(ExecConfig((NOTHING,))),
            lambda: outbox.waits / seconds(lambda: _spawn(outbox.waits)),
            pairs=2 if setting.quick else 6,
        )
    return [Comparison("deliver-exec: exec / posix_spawn", "deliveries/s", *pairs, at_least=0.7)]


def _spawn(count: int) -> None:
    """Run the program so many times, a few at once, with nothing around it."""
    running = 0
    for _ in range(count):
        if running == CONCURRENCY:
            os.wait()
            running -= 1
        os.posix_spawn(NOTHING, [NOTHING], os.environ)
        running += 1
    for _ in range(running):
        os.wait()


def webhook(setting: Setting) -> list[Comparison]:
    """The ``webhook`` handler against the HTTP client it is made of, with the same bodies and the same server."""
    with _outbox(setting, "webhook", 10_000) as outbox, _receiver() as port:
        bodies: list[bytes] = []
        pairs = alternate(
            "deliver-webhook",
            lambda: outbox.delivering(WebhookConfig(f"http://127.0.0.1:{port}/")),
            lambda: outbox.waits / seconds(lambda: _post(port, bodies or _bodies(outbox, bodies))),
            pairs=2 if setting.quick else 6,
        )
    return [Comparison("deliver-webhook: webhook / bare client", "deliveries/s", *pairs, at_least=0.7)]


@contextmanager
def _receiver() -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.reference_receiver"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


def _bodies(outbox: Outbox, into: list[bytes]) -> list[bytes]:
    """As many bodies as there are deliveries, each as long as a delivery's."""
    into += [b"x" * 1_200] * outbox.waits
    return into


def _post(port: int, bodies: list[bytes]) -> None:
    def worker(share: list[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for body in share:
            connection.request("POST", "/", body, HEADERS)
            response = connection.getresponse()
            response.read()
            assert response.status == 200
        connection.close()

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        list(pool.map(worker, [bodies[start::CONCURRENCY] for start in range(CONCURRENCY)]))


_SOON = """
INSERT INTO workflow_wait_executions (id, workflow_execution_id, step_id, wait_type, status, scheduled_at, timezone,
                                      wait_config, handler, created_at, updated_at)
SELECT waitctl_uuidv7(), 'soon-' || n, 'wait', 'fixed_time', 'scheduled',
       clock_timestamp() + interval '5 s' + n * interval '10 ms', 'UTC', '{}', 'nudge', now(), now()
  FROM generate_series(1, $COUNT) AS n
"""


def watch(setting: Setting) -> list[Comparison]:
    """How long after it was due a delivery is in the hands of its handler, under ``tick --watch``, at 100 a second."""
    count = 300 if setting.quick else 2_000
    with setting.cluster.migrated("watch") as url:
        noted, config = setting.folder / "lateness", setting.folder / "watch.toml"
        config.write_text('[handlers.nudge]\npython = "benchmarks.handlers:lateness"\n', encoding="utf-8")
        late: list[float] = []
        for _ in range(1 if setting.quick else 3):
            noted.write_text("", encoding="utf-8")
            setting.cluster.psql(url.rpartition("/")[2].partition("?")[0], _SOON.replace("$COUNT", str(count)))
            with _watching(url, config, noted):
                _until(lambda: noted.read_text(encoding="utf-8").count("\n") >= count)
            figures = sorted(map(float, noted.read_text(encoding="utf-8").split()))
            late.append(quantiles(figures, n=100)[98] * 1000)
            say(f"watch: median {figures[len(figures) // 2] * 1000:.1f} ms, p99 {late[-1]:.1f} ms, at {count} waits")
    return [Comparison("watch: p99 after due / 50 ms, 100 waits/s", "ms", late, [50.0] * len(late), at_most=1.0)]


@contextmanager
def _watching(url: str, config: Path, noted: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "waitctl", "--database-url", url, "--config", str(config), "tick", "--watch", "-q"]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT), "LATENESS": str(noted)}) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the watch never handed everything out")
        time.sleep(0.1)
