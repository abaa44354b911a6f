"""waitctl beside its peers: the same work on the same server, in one run, turn by turn.

What makes it fair:

* One server for all, and every commit waits for its disk, as servers are run. Durability is each one's default, so that
  a crash would lose nothing of theirs that it does not lose of ours.
* One worker each, in one process that has started before the clock does; ours has a second process for its handler,
  which starts within what is timed. Batches are of 1,000 on all sides, where there are any. Each has the settings that
  its documentation calls the fastest; the modules beside this one say which, and where that stands.
* The peers run under the newest Python that is found, we under the project's.
* A job that has run leaves nothing at procrastinate, a line of its log at pgqueuer, and its row at oban and absurd; at
  ours the wait, two lines of audit trail and the delivery.
* Of each as many jobs as the peer drains in about ten seconds: a hundred thousand of the fastest. Ours, as many.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from sqlalchemy.engine import make_url

from benchmarks.measure import Comparison, Setting, alternate, run, say, seconds
from benchmarks.peers.environment import FOLDER, PYTHON, ROOT, peers_found

JOBS = {"pgqueuer": 100_000, "oban": 30_000, "absurd": 5_000, "procrastinate": 2_000}
"""How many jobs are scheduled and drained, for each that has jobs."""
DUE = {"waitctl": 1_000, "pgqueuer": 1_000, "oban": 1_000, "absurd": 500, "procrastinate": 100}
"""How many are drained beside those that are not due."""
WAITS = {"absurd": 10_000, "dbos": 5_000}
"""How many waits for an event are woken, for each that has such."""

OURS = "waitctl"
PAIRS = 5


class Contestant:
    """waitctl or a peer, on a database of its own."""

    def __init__(self, setting: Setting, stack: ExitStack, name: str, use: str) -> None:
        self.name = name
        url = stack.enter_context(setting.cluster.empty(f"peer_{name}_{use}"))
        self.url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)

    def __call__(self, verb: str, count: int) -> Mapping[str, float]:
        """Do it in a process of its own, and return its figures."""
        python = sys.executable if self.name == OURS else str(PYTHON)
        command = [python, "-m", f"benchmarks.peers.{self.name}", self.url, verb, str(count)]
        figures: Mapping[str, float] = json.loads(run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}))
        return figures


def jobs(setting: Setting) -> list[Comparison]:
    """Due jobs, scheduled in bulk and drained with a handler that does nothing."""
    return _beside_each(setting, "jobs", JOBS, {"drain": ("jobs/s", 1.5), "bulk": ("jobs/s", 1.5)})


def events(setting: Setting) -> list[Comparison]:
    """Waits for an event each: sent, and until what waited has run to its end."""
    return _beside_each(setting, "wake", WAITS, {"wake": ("waits/s", 25.0), "sent": ("events/s", None)})


def _asked_for(setting: Setting) -> Mapping[str, str]:
    """The peers that are there and asked for, with their versions."""
    found = peers_found()
    return found if setting.peers is None else {name: found[name] for name in setting.peers if name in found}


def _beside_each(
    setting: Setting, verb: str, counts: Mapping[str, int], wanted: Mapping[str, tuple[str, float | None]]
) -> list[Comparison]:
    comparisons = []
    versions = _asked_for(setting)
    for name, count in counts.items():
        if name not in versions:
            continue
        with setting.cluster.waiting_for_the_disk(), ExitStack() as stack:
            ours, theirs = (Contestant(setting, stack, each, verb) for each in (OURS, name))
            figures = _figures(ours, theirs, verb, max(count // 10, 1_000) if setting.quick else count, setting)
        for figure, (unit, at_least) in wanted.items():
            our, their = ([each[figure] for each in side] for side in figures)
            what = f"peers: {figure}, waitctl / {name} {versions[name]}"
            comparisons.append(Comparison(what, unit, our, their, at_least=at_least))
            say(f"{what}: {comparisons[-1].ratio:.2f}")
    return comparisons


def _figures(
    ours: Contestant, theirs: Contestant, verb: str, count: int, setting: Setting
) -> tuple[list[Mapping[str, float]], list[Mapping[str, float]]]:
    """Turn by turn, as `alternate` has it, but each turn has several figures."""
    sides: tuple[list[Mapping[str, float]], list[Mapping[str, float]]] = ([], [])
    for pair in range(1 if setting.quick else PAIRS):
        for side in (1, 0) if pair % 2 else (0, 1):
            sides[side].append((ours, theirs)[side](verb, count))
        told = ", ".join(
            f"{figure} {sides[0][-1][figure]:,.0f} against {sides[1][-1][figure]:,.0f}" for figure in sides[0][-1]
        )
        say(f"peers-{verb} {theirs.name} {pair + 1}: {told}")
    return sides


def beside(setting: Setting) -> list[Comparison]:
    """A thousand due jobs drained beside a million that are not due, against beside ten thousand."""
    few, many = 10_000, 100_000 if setting.quick else 1_000_000
    comparisons = []
    versions = {OURS: "", **_asked_for(setting)}
    for name, due in DUE.items():
        if name not in versions:
            continue
        with setting.cluster.waiting_for_the_disk(), ExitStack() as stack:
            among = {count: Contestant(setting, stack, name, str(count)) for count in (many, few)}
            for count, contestant in among.items():
                contestant("fill", count)
                contestant("due", due)
            drain = [partial(_due, among[count], due) for count in (many, few)]
            pairs = alternate(f"peers-beside {name}", *drain, pairs=2 if setting.quick else PAIRS, silent=True)
        what = f"peers: a job drained beside {many:,} / {few:,} not due, {name} {versions[name]}".rstrip()
        comparisons.append(Comparison(what, "µs", *pairs, at_most=1.3 if name == OURS else None))
        say(f"{what}: {comparisons[-1].ratio:.2f}")
    return comparisons


def _due(contestant: Contestant, count: int) -> float:
    return contestant("due", count)["due"]


def startup(setting: Setting) -> list[Comparison]:
    """Each command's ``--help``, and its cheapest command that writes, against ours."""
    comparisons = []
    versions = _asked_for(setting)
    with setting.cluster.waiting_for_the_disk(), ExitStack() as stack:
        ours = Contestant(setting, stack, OURS, "startup")
        ours("jobs", 1)
        command = [sys.executable, "-m", "waitctl"]
        our_writes = [*command, "--database-url", ours.url, "create", "fixed-time", "3d"]
        for name, program, writes in _commands():
            if name not in versions:
                continue
            theirs = Contestant(setting, stack, name, "startup")
            theirs("jobs" if name in JOBS else "wake", 1)
            environment = _environment(theirs.url, Path(setting.cluster.program).parent, setting.folder)
            for what, our, their in (("--help", [*command, "--help"], ["--help"]), ("writes", our_writes, writes)):
                if not their:
                    print(f"peers: not measured: a command of {name} that schedules: it has none")
                    continue
                full = [str(FOLDER / "bin" / program), *(part.format(url=theirs.url) for part in their)]
                work = [partial(_milliseconds, each, environment) for each in (our, full)]
                _warm(work)
                pairs = alternate(f"{program} {what}", *work, pairs=3 if setting.quick else 9, silent=True)
                shown = "--help" if what == "--help" else f"create / {_shown(their)} of"
                comparison = Comparison(f"peers: {shown} {name} {versions[name]}", "ms", *pairs, at_most=1.0)
                comparisons.append(comparison)
    return comparisons


def _commands() -> Iterator[tuple[str, str, Sequence[str]]]:
    """A peer, its program, and what it does there at the least that writes something."""
    yield "pgqueuer", "pgq", ["--pg-dsn", "{url}", "queue", "nothing"]
    app = "benchmarks.peers.procrastinate_app.app"
    yield "procrastinate", "procrastinate", ["--app", app, "defer", "--unknown", "nothing", "{{}}"]
    yield "oban", "oban", []
    yield "absurd", "absurdctl", ["spawn-task", "nothing", "--queue", "default", "--database", "{url}"]
    yield "dbos", "dbos", ["migrate", "--sys-db-url", "{url}"]


def _shown(command: Sequence[str]) -> str:
    """The word for what it does."""
    return next(word for word in command if word in {"queue", "defer", "spawn-task", "migrate"})


def _environment(url: str, postgresql: Path, folder: Path) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WAITCTL_")}
    path = f"{postgresql}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "DATABASE_URL": url, "XDG_CONFIG_HOME": str(folder)}


def _warm(work: Sequence[Callable[[], float]]) -> None:
    for each in work:
        each()


def _milliseconds(command: Sequence[str], environment: Mapping[str, str]) -> float:
    return 1000 * seconds(lambda: run(command, env=dict(environment)))
