"""Years of it: rounds of creating, ticking and pruning, with and without a snapshot that is pinned for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

from benchmarks.life import Meter, PostgreSQLMeter, SqliteMeter
from benchmarks.measure import Comparison, Setting, say, seconds
from waitctl import Database, Settings, Tick, TickOptions, WaitRequest, WaitSchedulingService, WaitSpec
from waitctl.application.processor.run import Phase
from waitctl.application.retention import Upkeep
from waitctl.infrastructure.store import rollups

DAY, KEPT = timedelta(days=1), timedelta(days=2)
FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
FLAT = 1.1
"""The largest size of the last half against the smallest."""
_OPTIONS = TickOptions(only=frozenset({Phase.DUE}), time_budget=timedelta(hours=1))


class Soak:
    """One database over many days: each a round, of which the waits of two are kept."""

    def __init__(self, name: str, database: Database, meter: Meter, count: int) -> None:
        self._name, self._database, self._meter, self._count = name, database, meter, count
        self._service = WaitSchedulingService(database)
        self.sizes: list[float] = []
        self.ticks: list[float] = []
        self.pruned: list[float] = []

    def round(self, day: int) -> None:
        """A day: waits are created, end, and what is too old goes."""
        now = FIRST_DAY + day * DAY
        self._database.as_of = now
        self._service.create_waits(self._requests(day))
        self._database.as_of = now + timedelta(hours=2)
        self.ticks.append(self._count / seconds(Tick(self._database, Settings(""), _OPTIONS).run))
        # Totals go by the real clock, by which all of this is long ago: they are to be filled as if it were not.
        self._database.write(partial(rollups.move_mark, name="waits", until=now))
        upkeep = Upkeep(self._database, older_than=KEPT)
        took = seconds(upkeep.run)
        if upkeep.pruned.waits:
            self.pruned.append(upkeep.pruned.waits / took)
        self._meter.settle()
        self.sizes.append(self._meter.size())
        say(f"{self._name}, day {day + 1}: {self.sizes[-1] / 1e6:,.0f} MB, {self.ticks[-1]:,.0f} ended a second")

    def _requests(self, day: int) -> Iterator[WaitRequest]:
        for number in range(self._count):
            spec = WaitSpec(f"{day}-{number}", f"step-{number % 5}", workflow_id=f"workflow-{number % 10}")
            yield WaitRequest.fixed_time("1h", spec)


@contextmanager
def _soak(setting: Setting, kind: str, count: int, *, pinned: bool) -> Iterator[Soak]:
    name = "soak_pinned" if pinned else "soak"
    with ExitStack() as stack:
        if kind == "postgresql":
            url = stack.enter_context(setting.cluster.migrated(name))
            database = stack.enter_context(Database(url))
            meter: Meter = PostgreSQLMeter(setting, url.rpartition("/")[2].partition("?")[0])
        else:
            url = f"sqlite:///{setting.folder / name}.db"
            database = stack.enter_context(Database(url))
            database.upgrade()
            meter = SqliteMeter(database)
        if pinned:
            reading = stack.enter_context(stack.enter_context(Database(url)).read())
            if kind == "postgresql":
                reading.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            reading.execute("SELECT count(*) FROM workflow_wait_executions").scalar()
        yield Soak(f"{kind}{', pinned' if pinned else ''}", database, meter, count)
    for file in setting.folder.glob(f"{name}.db*"):
        file.unlink()


def soak(setting: Setting) -> list[Comparison]:
    """Whether size is flat over the last half, and a tick as quick when nothing can be cleared away."""
    rounds, count = (8, 2_500) if setting.quick else (20, 100_000)
    found: list[Comparison] = []
    for kind in ("sqlite", "postgresql"):
        with (
            _soak(setting, kind, count, pinned=False) as free,
            _soak(setting, kind, count, pinned=True) as pinned,
        ):
            for day in range(rounds):
                for each in (free, pinned) if day % 2 else (pinned, free):
                    each.round(day)
        sizes = free.sizes[rounds // 2 :]
        what = f"{kind}: size over the last half of {rounds * count:,} waits"
        found += [
            Comparison(what, "MB", [max(sizes) / 1e6], [min(sizes) / 1e6], at_most=FLAT),
            Comparison(f"{kind}: a tick under a pinned snapshot", "/s", pinned.ticks, free.ticks, at_least=0.9),
            Comparison(f"{kind}: pruned and counted a second", "/s", free.pruned, [40_000.0] * len(free.pruned)),
        ]
    return found
